"""From raw files to an ensembled, tuned, explained submission."""

from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version

min_version("9.27")

DEMO = f"{workflow.current_basedir}/config/config.yaml"

# The demo is what runs when no config is given, so none of its keys can leak into a recipe.
if not config:
    config.update(load_configfile(DEMO))
elif not workflow.configfiles:

    # Single keys that `--config` gives change the demo; in a module with a config this does nothing.
    configfile: DEMO


include: "workflow/library.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/raw.smk"


report: "workflow/report/workflow.rst"


pathvars:
    results=f"results/{config['run']}",
    logs=f"results/{config['run']}/logs",
    benchmarks=f"results/{config['run']}/benchmarks",


wildcard_constraints:
    channels=NAME,
    folds=NAME,
    model=NAME,
    member=rf"{NAME}(\.s\d+)?",
    stage=NAME,
    round=r"\d+",
    fold=r"\d+",
    part="train|test",
    output="labels|boxes",


include: "workflow/rules/ingest.smk"
include: "workflow/rules/channels.smk"
include: "workflow/rules/adversarial.smk"
include: "workflow/rules/folds.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/decide.smk"
include: "workflow/rules/outputs.smk"


if PLAN.joint:

    include: "workflow/rules/joint.smk"


include: "workflow/rules/pseudo.smk"
include: "workflow/rules/submit.smk"
include: "workflow/rules/bundle.smk"
include: "workflow/rules/figures.smk"


if PLAN.variants:

    include: "workflow/rules/ablation.smk"


# Every kept artefact is asked for, so that one that is deleted is redone with what follows from it.
rule all:
    default_target: True
    input:
        rules.ingest.input,
        rules.channels.input,
        rules.adversarial.input if PLAN.adversarial else [],
        rules.folds.input,
        rules.train.input,
        rules.oof.input,
        rules.pseudo.input,
        rules.blend.input,
        rules.decide.input,
        rules.submission.input,
        rules.report.input,
    message:
        "Every artefact is there"
