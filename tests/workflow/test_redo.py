"""A change redoes what depends on it and nothing else."""

import copy
import os
import re
import shutil
from pathlib import Path

import pytest
from running import Run

AFTER_DECISION = {"search_decision", "write_submission", "summarise_scores", "draw_results"}
REPORT = {"describe_run", "write_report"}
TRAINING = {"train_stage", "predict_images", "predict_test_images"}


def test_deleting_a_prediction_redoes_what_follows_and_trains_nothing(run: Run) -> None:
    (run.results / "predictions" / "small" / "round1" / "fold0" / "oof.h5").unlink()
    planned = run.planned()
    assert planned["predict_images"] == 1
    assert set(planned) == {"predict_images", "blend_oof", "blend_test"} | AFTER_DECISION | REPORT
    run.snakemake()
    assert run.planned() == {}


def test_a_new_threshold_grid_searches_again_and_no_more(run: Run) -> None:
    config = copy.deepcopy(run.config)
    config["decision"]["space"] = {"threshold": [0.4, 0.5, 0.6]}
    run.configure(config)
    assert set(run.planned()) == AFTER_DECISION | REPORT | {"write_config"}


def test_device_and_memory_are_no_reason_to_retrain(run: Run) -> None:
    run.configure({**run.config, "device": "cpu", "memory_gib": 3, "tensorboard": True})
    assert not TRAINING & set(run.planned())


def test_a_deleted_intermediate_is_made_again(run: Run) -> None:
    (run.results / "channels" / "base" / "test.h5").unlink()
    assert "make_test_channels" in run.planned()


def test_comments_touches_and_checkouts_redo_nothing(run: Run, checkout: Path) -> None:
    loss = checkout / "workflow" / "foldbelt" / "losses" / "lovasz.py"
    loss.write_text("# A comment.\n" + loss.read_text() + "\n\n# Another.\n")
    for path in (checkout / "workflow").rglob("*.py"):
        os.utime(path)
    assert Run(run.folder, run.config, checkout).planned() == {}


def test_a_changed_loss_retrains_the_models_that_name_it(run: Run, checkout: Path) -> None:
    loss = checkout / "workflow" / "foldbelt" / "losses" / "lovasz.py"
    loss.write_text(loss.read_text() + "\n_CHANGED = True\n")
    output = Run(run.folder, run.config, checkout).snakemake("--dry-run")
    trained = set(re.findall(r"Train (\w+), round (\d), fold \d, stage (\w+)", output))
    assert ("small", "0", "lovasz") in trained
    assert not trained & {("small", "0", "bce"), ("plain", "0", "bce")}
    # Round 1 starts from pseudo-labels that both models' round 0 made.
    assert ("plain", "1", "bce") in trained


def test_a_new_loss_retrains_nothing(run: Run, checkout: Path) -> None:
    losses = checkout / "workflow" / "foldbelt" / "losses"
    shutil.copy(losses / "dice.py", losses / "other.py")
    assert Run(run.folder, run.config, checkout).planned() == {}


def test_one_file_can_be_asked_for(run: Run) -> None:
    shutil.rmtree(run.results / "predictions")
    target = "results/tiny/predictions/small/round0/fold1/test.h5"
    assert run.planned("--", target) == {"predict_test_images": 1}


def test_an_edited_caption_renews_the_report(finished: Run, checkout: Path) -> None:
    caption = checkout / "workflow" / "report" / "balance.rst"
    caption.write_text(caption.read_text() + "\nMore.\n")
    assert set(Run(finished.folder, finished.config, checkout).planned()) == {"write_report"}


def test_results_can_be_kept_over_an_upgrade_that_does_not_change_them(
    run: Run, checkout: Path
) -> None:
    before = run.digests()
    loss = checkout / "workflow" / "foldbelt" / "losses" / "lovasz.py"
    loss.write_text(loss.read_text() + "\n_CHANGED = True\n")
    upgraded = Run(run.folder, run.config, checkout)
    assert "train_stage" in upgraded.planned()
    upgraded.snakemake("--touch")
    assert upgraded.planned() == {}
    assert upgraded.digests() == before


def changed(checkout: Path, module: str, text: str = "\n_CHANGED = True\n") -> None:
    path = checkout / "workflow" / "foldbelt" / module
    path.write_text(path.read_text() + text)


SUBMITTED = {"write_submission", "summarise_scores", "draw_results"} | REPORT
DECIDED = {"search_decision"} | SUBMITTED
BLENDED = {"blend_oof", "blend_test"} | DECIDED
PREDICTED = {"predict_images", "predict_test_images"} | BLENDED
LABELLED = {"select_pseudo", "draw_pseudo"}
TRAINED = {"train_stage", "draw_training"} | PREDICTED | LABELLED
SPLIT = {"split_folds", "draw_data"} | TRAINED
INGESTED = {"ingest_train", "ingest_test", "list_problems", "find_neighbours"} | SPLIT
INGESTED |= {"make_channels", "make_test_channels", "draw_augment"}

EDITS = {
    "the bootstrap": ("bootstrap/__init__.py", DECIDED),
    "a log line": ("logs.py", set()),
    "run lengths, written": ("rle/encoding.py", SUBMITTED),
    "a metric that is not used": ("metrics/counts/mean_dice.py", set()),
    "the metric": ("metrics/counts/salt_score.py", TRAINED),
    "a decision step": ("decide/steps/holes.py", DECIDED),
    "the submission's format": ("competitions/salt/submit.py", SUBMITTED),
    "a figure": ("report/balance.py", {"draw_data", "write_report"}),
    "a network": ("models/vanilla.py", TRAINED),
    "the sampler": ("train/samplers.py", TRAINED),
    "ingest": ("ingest/streaming.py", INGESTED),
    "the mosaic": ("folds/mosaic.py", {"find_neighbours"} | SPLIT),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_redoes_what_depends_on_it(finished: Run, checkout: Path, edit: str) -> None:
    module, expected = EDITS[edit]
    changed(checkout, module)
    assert set(Run(finished.folder, finished.config, checkout).planned()) == expected
