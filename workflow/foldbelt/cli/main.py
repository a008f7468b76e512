"""The commands of the program `foldbelt`."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from foldbelt.files import InputError, words_of


def _told(command: Callable[..., Any]) -> Callable[..., Any]:
    """End with the message alone, and status 1, where the user has something to correct."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            print(f"Error: {error}", file=sys.stderr)
        except BrokenPipeError:
            raise SystemExit(1) from None  # `… | head`
        except OSError as error:
            print(f"Error: {words_of(error)}", file=sys.stderr)
        raise SystemExit(1)

    return run


def _stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say, when it is stopped, that the same command goes on; schedulers stop jobs by SIGTERM."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise InputError("stopped. The same command goes on from here.") from None

    return run


def _computing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where a bundle computes."""
    threads = click.option("--threads", type=click.IntRange(1, 4096), help="Compute threads on a "
                           "CPU; the last digits depend on them. "
                           "[default: as the run had]")  # fmt: skip
    device = click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto",
                          show_default=True, help="Where to compute.")  # fmt: skip
    return device(threads(command))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="foldbelt", message="%(prog)s %(version)s")
def main() -> None:
    """Image segmentation from raw files to a tuned, ensembled, explained submission.

    \b
    foldbelt init resources/mine --out config/mine.yaml     look at the data, write a recipe
    snakemake --cores all --configfile config/mine.yaml     run it
    foldbelt show mine                                      how far it has come
    foldbelt scores mine                                    what came out
    foldbelt predict bundle.zip scans predicted             predict new images by its bundle
    foldbelt validate bundle.zip labelled validated         score it where the truth is known
    foldbelt wheels bundle.zip wheels.zip                   what that takes without internet
    foldbelt export bundle.zip model.onnx                   for programs in other languages

    Every command ends with status 0, with 1 where something given cannot be used (the message says
    what, where and what to do), and with 2 where it is called in a wrong way.
    """
    if sys.stderr is None:  # closed by whoever started this
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


@main.command("init", short_help="Look at a data folder and write a recipe for it.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The recipe. [default: config/RUN.yaml]"
)
@click.option("--run", "name", help="Name of the run. [default: that of OUT, else of the folder]")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
              help="Time for the whole run.")  # fmt: skip
@click.option("--gpus", type=click.IntRange(0), help="GPUs to use. [default: those there are]")
@click.option("--cores", type=click.IntRange(1), help="Cores to use. [default: those there are]")
@click.option("--force", is_flag=True, help="Overwrite a recipe that is there.")
@_told
def init_command(
    data: Path,
    out: Path | None,
    name: str | None,
    hours: float,
    gpus: int | None,
    cores: int | None,
    force: bool,
) -> None:
    """Look at the folder DATA and write a recipe for it, each line with its reason.

    The layout (salt, steel, chest, or a folder of images with masks, labels or boxes) is told from
    the files. What cannot be told from them is a question in a comment, with a safe answer set. The
    recipe is an ordinary one: read it, change it, run it. The same data give the same recipe, but
    for the epochs, which follow from the speed of this machine and from --hours.

    \b
    foldbelt init resources/mine
    foldbelt init ~/scans --out config/scans.yaml --hours 0.5
    """
    from foldbelt.init.command import run  # hundreds of milliseconds

    print(run(data, out, name, hours, gpus, cores, force))


@main.command("show", short_help="Say what a run is, what it has made and what it still needs.")
@click.argument("run")
@_told
def show_command(run: str) -> None:
    """Say what RUN is, which of its stages are done, what is missing, and its score.

    RUN is a name below results/, such a folder, or a recipe (config/mine.yaml). What is shown is
    which files are there; whether they are up to date, `snakemake -n` says.

    \b
    foldbelt show mine
    foldbelt show config/mine.yaml
    """
    from foldbelt.cli.state import describe

    print(describe(run))


@main.command("scores", short_help="Print the scores of a finished run.")
@click.argument("run")
@_told
def scores_command(run: str) -> None:
    """Print the scores of RUN: its name, its folder, or its scores.json.

    \b
    foldbelt scores mine
    """
    from foldbelt.cli.state import folder_of
    from foldbelt.evaluate.summary import describe

    path = Path(run) if run.endswith(".json") else folder_of(run) / "scores.json"
    if not path.is_file():
        raise InputError(
            f"{path}: there are no scores yet; `foldbelt show {run}` says what is missing."
        )
    print(describe(path))


@main.command("predict", short_help="Predict a folder of images by a bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path())
@click.argument("out", type=click.Path())
@_computing
@click.option("--sample", type=click.Path(path_type=Path), help="A folder with the competition's "
              "sample submission: submission.csv is written in its form.")  # fmt: skip
@click.option("--table", type=click.Path(path_type=Path), help="A csv with the columns id and what "
              "the bundle's channels need to know of every image, such as depth.")  # fmt: skip
@click.option("--overlays", is_flag=True, help="Write overlays/, too: images with what is "
              "predicted drawn over them.")  # fmt: skip
@_told
@_stoppable
def predict_command(
    bundle: Path,
    images: str,
    out: str,
    device: str,
    threads: int | None,
    sample: Path | None,
    table: Path | None,
    overlays: bool,
) -> None:
    """Predict all images in the folder IMAGES by BUNDLE, and write the answers to the folder OUT.

    BUNDLE is the bundle.zip of a run (`snakemake … -- bundle`), or the folder that it was unpacked
    to. Images may have any number, size and format that a run reads. OUT gets what the run decides
    on: masks/ (PNG) and masks.csv (run lengths), labels.csv, boxes.csv. Stopped and repeated, it
    goes on where it was. Images that cannot be read are listed in problems.csv, and at the end,
    with status 1.

    \b
    foldbelt predict results/mine/bundle.zip ~/new-scans predicted
    """
    from foldbelt.bundle.alone import Progress  # seconds
    from foldbelt.bundle.command import run

    said = run(
        bundle, images, out,
        device=device, cpu_threads=threads, sample=sample, table=table, overlays=overlays,
        progress=Progress(),
    )  # fmt: skip
    print(said)


@main.command("validate", short_help="Score a bundle on labelled images it has never seen.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path())
@click.argument("out", type=click.Path())
@_computing
@click.option("--overlays", is_flag=True, help="Write overlays/, too: images with what is "
              "predicted drawn over them.")  # fmt: skip
@_told
@_stoppable
def validate_command(
    bundle: Path, data: str, out: str, device: str, threads: int | None, overlays: bool
) -> None:
    """Predict the labelled images in the folder DATA by BUNDLE, and say how good that is.

    DATA lies as the run's training data did: images, and their masks, labels or boxes. The scores
    are those of the run, with intervals, and stand beside its own. OUT gets what `foldbelt predict`
    writes, and scores.json, and image by image scores.csv. Stopped and repeated, it goes on where
    it was.

    \b
    foldbelt validate results/mine/bundle.zip ~/other-hospital validated
    """
    from foldbelt.bundle.alone import Progress  # seconds
    from foldbelt.bundle.validating import describe, validate

    scores = validate(
        bundle, data, out,
        device=device, cpu_threads=threads, overlays=overlays, progress=Progress(),
        told=partial(print, file=sys.stderr),
    )  # fmt: skip
    print(describe(scores))


@main.command("wheels", short_help="Download what a bundle needs, for a machine without internet.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--python", help="Its version where the bundle predicts, such as 3.11. [default: "
              "that with which it was made]")  # fmt: skip
@click.option("--platform", "platforms", multiple=True, help="As pip names it; may be repeated. "
              "[default: Linux on x86-64 with glibc 2.28]")  # fmt: skip
@click.option("--without", multiple=True, help="A package that is there already; may be repeated.")
@_told
def wheels_command(
    bundle: Path,
    out: Path,
    python: str | None,
    platforms: tuple[str, ...],
    without: tuple[str, ...],
) -> None:
    """Download what BUNDLE needs where it predicts, and write one archive of it, OUT.

    Never torch and torchvision, which have to be there. docs/offline.md says how a notebook
    without internet installs the rest.

    \b
    foldbelt wheels results/mine/bundle.zip wheels.zip --without numpy --without Pillow
    """
    from foldbelt.bundle.wheels import PLATFORMS, gather

    names = gather(bundle, out, python=python, platforms=platforms or PLATFORMS, without=without)
    print(f"{len(names)} wheels are in {out}: {', '.join(name.split('-')[0] for name in names)}")


@main.command("export", short_help="Write a bundle's networks as one ONNX file.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--member", help="Export this member alone. [default: the whole blend]")
@click.option("--views/--no-views", default=True, show_default=True, help="Whether flips and "
              "scales are averaged inside the graph.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 4096), help="Compute threads of the comparison. "
              "[default: as the run had]")  # fmt: skip
@_told
def export_command(
    bundle: Path, out: Path, member: str | None, views: bool, threads: int | None
) -> None:
    """Write the networks of BUNDLE as one ONNX file, OUT, which other programs compute.

    The graph takes u8 images, normalises them, computes every member, fold and view, blends them,
    and gives the probabilities of masks and labels. How these are decided, how images come to its
    size, and the names of classes lie in the file's metadata, as JSON. At the end ONNX Runtime
    computes the file, and nothing is written if it differs from torch. Boxes have no form in it.
    Needs `pip install 'foldbelt[onnx]'`.

    \b
    foldbelt export results/mine/bundle.zip mine.onnx
    """
    from foldbelt.bundle.onnx.exporting import export  # seconds

    done = export(bundle, out, member=member, views=views, cpu_threads=threads)
    height, width = done.size
    networks = f"{done.networks} network{'s' * (done.networks > 1)}"
    print(
        f"{out}: {networks}, {done.bytes / 1e6:.1f} MB; takes {done.source} of {height}×{width}, "
        f"gives {' and '.join(done.outputs)}; differs from torch by {done.difference:.1g} at most"
    )
    if done.left_out:
        print(f"left out, for they predict boxes alone: {', '.join(done.left_out)}")
