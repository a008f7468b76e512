"""The plan: which files a job reads, and that each is written by one rule under one name."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from foldbelt import config
from foldbelt.config.file_names import FILES
from foldbelt.config.plan import Plan

ROOT = Path(__file__).parents[2]
NETWORK = {"name": "vanilla", "width": 8}
CYCLIC = {"name": "cyclic", "cycles": 2, "snapshots": 2}
RECIPE: dict[str, Any] = {
    "run": "small",
    "data": {"path": "somewhere"},
    "folds": {"base": {"count": 3}},
    "stages": {
        "one": {"loss": {"bce": 1}, "epochs": 1},
        "two": {"loss": {"dice": 1}, "epochs": 2},
        "cycles": {"loss": {"bce": 1}, "epochs": 2, "schedule": CYCLIC},
    },
    "models": {
        "net": {"stages": ["one", "two"], "architecture": NETWORK},
        "shots": {"stages": ["cycles"], "architecture": NETWORK},
    },
    "pseudo": {"rounds": 2},
}


def plan(**changes: Any) -> Plan:
    return Plan(config.resolve(config.merge(copy.deepcopy(RECIPE), changes)))


def written_patterns() -> list[str]:
    """Give what the rules say they write, wildcards as they stand there."""
    text = "".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    # The stages of this rule are taken from those of the rule that it is made of.
    text = re.sub(r" +use rule train_stage as train_early_stage.*?(?=\n\n\n)", "", text, flags=re.S)
    outputs = re.findall(r"^ +output:\n(.*?)^ +log:", text, re.M | re.S)
    return re.findall(r'"(<results>/[^"]*)"', "".join(outputs))


def test_every_file_of_the_plan_is_written_by_one_rule() -> None:
    written = written_patterns()
    # Scores and submission are made by one rule where there are masks, and by another without.
    twice = {name for name in written if written.count(name) > 1}
    assert twice == {"<results>/scores.json", "<results>/submission.csv"}
    for kind, pattern in FILES.items():
        parts = ("train", "test") if kind == "channels" else ("oof", "test")
        names = [pattern.replace("{part}", part) for part in parts if "{part}" in pattern]
        for name in [pattern] if pattern in written or not names else names:
            # One name is made of the plug-in's, not of a wildcard.
            name = name.replace("{beside}", "{registry.synthetic_beside(PLAN.synthetic)}")
            assert written.count(name) == 1, f"{kind}: {name}"


def test_a_stage_starts_from_the_one_before_it() -> None:
    made = plan()
    assert made.start("net", 0, 1, "one") == []
    assert made.start("net", "1", "1", "two") == made.weights("net", 1, 1, "one")


@pytest.mark.parametrize("start", ["fresh", "previous"])
def test_a_later_round_starts_anew_or_where_its_fold_s_last_model_ended(start: str) -> None:
    made = plan(pseudo={"start": start})
    expected = made.weights("net", 0, 2, "two") if start == "previous" else []
    assert made.start("net", 1, 2, "one") == expected
    assert made.start("net", 0, 2, "one") == []


def test_a_round_trains_on_the_labels_that_the_round_before_made_for_its_fold() -> None:
    made = plan()
    assert made.pseudo_labels("net", 0, 1) == made.pseudo_channels("net", 0) == []
    assert made.pseudo_labels("net", "2", "1") == "<results>/pseudo/net/round1/fold1.h5"
    assert made.pseudo_channels("net", 1) == made.channels_file("net", "test")


def test_labels_for_a_fold_come_from_models_that_held_it_out() -> None:
    made = plan()
    assert made.labellers("net", 0, 2) == [
        f"<results>/predictions/{member}/round0/fold2/test.h5" for member in made.members
    ]
    assert made.labellers("net", "0", "2") == made.labellers("net", 0, 2), "as wildcards are"
    everyone = plan(pseudo={"source": "all"})
    assert len(everyone.labellers("net", 0, 2)) == 3 * len(made.members)
    # As Snakemake asks, whose wildcards are text.
    assert made.labellers("net", "0", "2") == made.labellers("net", 0, 2)


OUTPUTS: dict[str, Any] = {
    "competition": "folder",
    "data": {"path": "somewhere", "masks": False, "label": "scene", "boxes": "boxes.csv"},
    "boxes": {"weights": "equal"},
    "stages": {
        "labels": {"loss": {"label": {"cross_entropy": 1}}, "epochs": 1},
        "boxes": {"loss": {"box": 1}, "epochs": 1},
    },
    "models": {
        "cls": {"stages": ["labels"], "architecture": {"name": "classifier"}},
        "some": {"from": "cls", "seed": 1, "only_folds": [2, 0]},
        "det": {"stages": ["boxes"], "architecture": {"name": "detector"}},
        "one": {"from": "det", "seed": 1, "only_folds": [1]},
    },
}


@pytest.mark.parametrize("source", ["fold", "all"])
def test_of_a_model_of_some_folds_nothing_is_asked_in_the_others(source: str) -> None:
    recipe = {"run": "few", "folds": {"base": {"count": 3}}, **OUTPUTS}
    made = Plan(config.resolve({**recipe, "pseudo": {"rounds": 1, "source": source}}))
    folds = {"cls": [0, 1, 2], "some": [0, 2], "det": [0, 1, 2], "one": [1]}
    assert made.by_output == {"labels": ["cls", "some"], "boxes": ["det", "one"]}
    asked = [*made.trained(), *made.all_predictions(), *made.benchmarks()]
    for output in made.by_output:
        asked += [p for n in made.rounds for p in made.output_files(output, n, "oof")]
        assert made.folds_a_member(output) == {m: folds[m] for m in made.by_output[output]}
    for model, mine in folds.items():
        asked += [p for fold in mine for p in made.labellers(model, 0, fold)]
    jobs = {tuple(re.findall(r"/(\w+)/round\d/fold(\d)", path)) for path in asked} - {()}
    assert {job[0] for job in jobs} == {(m, str(f)) for m, mine in folds.items() for f in mine}
    labellers = {re.findall(r"predictions/(\w+)/", path)[0] for path in made.labellers("cls", 0, 1)}
    assert labellers == ({"cls", "det", "one"} if source == "fold" else set(folds))
    assert made.labellers("cls", "0", "1") == made.labellers("cls", 0, 1)


def test_a_fold_that_there_is_not_and_masks_of_some_folds_are_refused() -> None:
    recipe = {"run": "few", "folds": {"base": {"count": 3}}, **OUTPUTS}
    wrong = config.merge(copy.deepcopy(recipe), {"models": {"one": {"only_folds": [3]}}})
    with pytest.raises(ValueError, match=r"models\.one\.only_folds.*3, but the folds are 0 to 2"):
        config.resolve(wrong)
    alone = config.merge(copy.deepcopy(recipe), {"models": {"det": {"only_folds": [1]}}})
    with pytest.raises(ValueError, match=r"models\.det\.only_folds.*the boxes a single fold"):
        config.resolve(alone)
    with pytest.raises(ValueError, match=r"models\.net\.only_folds.*on all folds; leave it out"):
        plan(models={"net": {"only_folds": [0]}})


@pytest.mark.parametrize(("folds", "common"), [([0, 2], False), ([1], True), ([1, 2], True)])
def test_fitted_weights_need_a_fold_that_all_models_predicted(
    folds: list[int], common: bool
) -> None:
    recipe = {"run": "few", "folds": {"base": {"count": 3}}, **OUTPUTS}
    models = {"two": {"from": "det", "only_folds": folds}}
    changes = {"boxes": {"weights": "fitted"}, "models": models}
    given = config.merge(copy.deepcopy(recipe), changes)
    if not common:
        match = r"models\.one, two\.only_folds: no fold is common.*boxes\.weights: equal"
        with pytest.raises(ValueError, match=match):
            config.resolve(given)
        given["boxes"]["weights"] = "equal"
    config.resolve(given)


def test_snapshots_are_members_and_predict_with_their_model_s_last_weights() -> None:
    made = plan()
    assert made.members == ["net", "shots.s1", "shots.s2"]
    assert made.final_weights("shots.s2", 0, 1) == made.weights("shots", 0, 1, "cycles")
    assert made.final_weights("net", 0, 1) == made.weights("net", 0, 1, "two")
    assert made.recipes.snapshot("shots.s2") == 2


def test_no_weights_lie_upstream_of_themselves() -> None:
    made = plan(pseudo={"start": "previous"})
    jobs = [(m, r, f, s) for m in made.models for r in made.rounds for f in made.folds
            for s in made.recipes.model(m)["stages"]]  # fmt: skip
    done: set[str] = set()
    for job in sorted(jobs, key=lambda job: job[1]):
        assert set([made.start(*job)] if made.start(*job) else []) <= done
        done.add(made.weights(*job))
    assert len(done) == len(jobs), "every job writes a file of its own"
    assert done <= set(made.trained())


def test_numbers_may_be_text_as_wildcards_are() -> None:
    made = plan(pseudo={"start": "previous"})
    for number in made.rounds:
        assert made.start("net", number, 0, "one") == made.start("net", str(number), "0", "one")
        assert made.member_files(number, "oof") == made.member_files(str(number), "oof")


def test_models_that_name_the_same_pretrained_weights_share_the_file() -> None:
    architecture = {"name": "unet", "encoder": "resnet18", "weights": "timm"}
    models = {name: {"stages": ["one"], "architecture": architecture} for name in ("a", "b")}
    models["c"] = {"stages": ["one"], "architecture": {**architecture, "encoder": "resnet34"}}
    made = Plan(config.resolve({**RECIPE, "models": models}))
    files = [made.pretrained(name, 0, 0, "one") for name in models]
    assert files == [f"<results>/pretrained/{name}.safetensors" for name in ("a", "a", "c")]
    assert plan().pretrained("net", 0, 0, "one") == []
    assert made.pretrained_file("a") == [], "it is fetched"


def test_a_file_to_start_from_is_for_a_first_stage_alone() -> None:
    models = {
        name: {"stages": ["one", "two"], "architecture": NETWORK, "start": start}
        for name, start in (("a", None), ("b", {"file": "their/w.pt"}))
    }
    for start, later in (("fresh", "their/w.pt"), ("previous", [])):
        pseudo = {"rounds": 1, "start": start}
        made = Plan(config.resolve({**RECIPE, "models": models, "pseudo": pseudo}))
        assert made.checkpoint("b", 0, 1, "one") == "their/w.pt"
        assert made.checkpoint("b", 0, 1, "two") == []
        assert made.checkpoint("b", 1, 1, "one") == later
        assert made.checkpoint("a", 0, 1, "one") == []
    assert made.recipes.kept_weights("b") == ["started from w.pt", "last", "last"]
    assert not made.recipes.strict("b")


LIKE = {"max_images": 5, "order": "test_likeness"}


@pytest.mark.parametrize(
    ("changes", "runs", "folds", "pseudo", "scores"),
    [
        ({}, False, False, False, False),
        ({"adversarial": {"enabled": True}}, True, False, False, True),
        ({"folds": {"base": {"first_fold_by": "test_likeness"}}}, True, True, False, False),
        ({"folds": {"base": {"stratify": ["test_likeness"]}}}, True, True, False, False),
        ({"folds": {"other": {"first_fold_by": "test_likeness"}}}, False, False, False, False),
        ({"pseudo": LIKE}, True, False, True, False),
        ({"pseudo": {**LIKE, "rounds": 0}}, False, False, True, False),
    ],
)
def test_who_names_the_test_likeness_makes_it_and_reads_it(
    changes: dict[str, Any], runs: bool, folds: bool, pseudo: bool, scores: bool
) -> None:
    made = plan(**changes)
    assert made.adversarial is runs
    assert bool(made.likeness_of_folds("base")) is folds
    assert bool(made.likeness_of_pseudo("net")) is pseudo
    assert bool(made.likeness_of_scores()) is scores


def test_neighbours_are_read_where_folds_or_steps_look_at_them() -> None:
    assert plan().mosaic_of_folds("base") == []
    assert plan(folds={"base": {"group": "mosaic"}}).mosaic_of_folds("base") == FILES["mosaic"]
    assert plan().mosaic_of_steps(plan().steps) == []
    jigsaw = plan(decision={"steps": {"jigsaw": None}})
    assert jigsaw.mosaic_of_steps(jigsaw.steps) == FILES["mosaic"]


def test_components_have_tables_where_the_decision_searches_them() -> None:
    assert plan().component_table(0) == []
    assert plan().score_minutes == 60
    made = plan(decision={"space": {"min_component": [0, 20]}})
    assert made.component_table("1") == "<results>/components/round1.h5"
    assert made.score_minutes > 60


def test_stages_know_of_pseudo_labels_from_round_1_on() -> None:
    recipes = plan().recipes
    assert "pseudo_ratio" not in recipes.stage("one", "0")
    assert "pseudo_ratio" in recipes.stage("one", "1")


def test_settings_that_a_rule_of_pseudo_labels_ignores_are_left_out() -> None:
    assert "min_confident_share" not in plan(pseudo={"rule": "everything"}).recipes.pseudo("net")
    assert "min_confident_share" in plan(pseudo={"rule": "confidence"}).recipes.pseudo("net")


def test_models_that_are_augmented_alike_have_one_figure() -> None:
    assert plan().augmented_alike("shots") == ["net", "shots"] or plan().augment_figures()
    flip = {"stages": {"cycles": {"augment": [{"HorizontalFlip": {"p": 0.5}}]}}}
    assert len(plan(**flip).augment_figures()) == 2


def test_benchmarks_of_an_ablation_are_those_of_the_jobs_that_do_the_work() -> None:
    ablation = {"variants": {"plain": {"predict": {"tta": ["none"]}}}, "model": "net"}
    made = plan(pseudo={"rounds": 0}, ablation=ablation)
    weights = made.variant_benchmarks("weights")
    assert weights["plain"] == weights["base"], "trained once"
    assert len(weights["base"]) == 3 * 2
    oof = made.variant_benchmarks("oof")
    assert set(oof["plain"]).isdisjoint(oof["base"])
    assert all(re.fullmatch(r"results/small/benchmarks/[\w/-]+\.txt", path)
               for paths in (*weights.values(), *oof.values()) for path in paths)  # fmt: skip
    assert made.variant_predictions("base", "0") == [
        f"<results>/predictions/net/round0/fold{fold}/oof.h5" for fold in made.folds
    ]


def test_a_variant_labels_in_all_folds_of_its_own_scheme() -> None:
    variants = {"five": {"folds": {"base": {"count": 5}}}}
    made = plan(ablation={"model": "net", "seeds": [0], "variants": variants})
    (model,) = made.variants["five"].models.values()
    assert made.folds_of(model) == [0, 1, 2, 3, 4]
    assert made.labellers(model, "0", "4") == [
        f"<results>/predictions/{model}/round0/fold4/test.h5"
    ]


def test_a_variant_is_tried_with_what_is_its_own() -> None:
    variants = {
        "crf": {"decision": {"steps": {"crf": None}}},
        "sizes": {"decision": {"space": {"min_component": [0, 20]}}},
        "gates": {"decision": {"space": {"gate_mode": ["veto", "product"]}}},
        "no-sizes": {"decision": {"space": {"min_area": [0]}}},
        "fewer": {"decision": {"space": {"min_area": [0, 20], "gate": [0, 0.5]}}},
        "no-veto": {"decision": {"space": {"gate_mode": ["area"]}}},
        "wide": {"models": {"*": {"architecture": {"width": 8}}}},
    }
    ablation = {"model": "net", "seeds": [0], "variants": variants}
    space = {"gate_mode": ["veto", "area"]}
    made = plan(decision={"steps": {"holes": None}, "space": space}, ablation=ablation)
    assert {name: made.forced(name) for name in made.variants} == {
        "base": [],
        "crf": ["crf"],
        "sizes": ["min_component"],
        "gates": ["gate"],
        "no-sizes": [],
        "fewer": [],
        "no-veto": [],
        "wide": [],
    }
