"""What of a run travels in a bundle, and what cannot, as far as its config tells."""

from collections.abc import Iterator
from typing import Any

from foldbelt import registry
from foldbelt.config.file_names import FILES
from foldbelt.config.output_files import JOINT, predictions
from foldbelt.config.plan import Plan
from foldbelt.config.recipes import split
from foldbelt.files import Problem, raise_all
from foldbelt.registry import suggest

ALL, LAST = "all", "last"

_ELSEWHERE = "its predictions were made elsewhere, and cannot be made of other images"


def check(plan: Plan) -> None:
    """Refuse a run of which no bundle can be made.

    Raises
    ------
    InputError
        Naming everything that stays behind.
    """
    problems = [*_members_problems(plan), *_step_problems(plan), *_encoder_problems(plan)]
    if len(plan.rounds) > 1 and plan.config["pseudo"]["rule"] == "halves":
        reason = (
            "which models predict a test image depends on which of them were trained on it; with "
            "other images the run's own would not come out"
        )
        problems.append(Problem("pseudo.rule: halves", reason))
    hint = "What can stay behind, and how, says docs/bundle.md."
    raise_all(problems, f"No bundle can be made of the run {plan.config['run']}", hint)


def _elsewhere(plan: Plan) -> dict[str, list[str]]:
    """Name what was predicted elsewhere, output by output."""
    given = {output: plan.elsewhere(output) for output in plan.others}
    given = {o: names + plan.elsewhere(o, scored=False) for o, names in given.items()}
    return ({"masks": plan.external} if plan.external else {}) | given


def _members_problems(plan: Plan) -> Iterator[Problem]:
    """Yield members that are asked for and cannot come, or are not known."""
    asked, key = plan.config["bundle"]["members"], "bundle.members"
    for output, names in _elsewhere(plan).items():
        where = f"{'blend' if output == 'masks' else output}.external"
        for name in names:
            if asked == ALL:
                cure = f"name in {key} those that are to travel, or set it to {LAST}"
                yield Problem(f"{where}.{name}", f"{_ELSEWHERE}; {cure}")
            elif name in asked and asked != LAST:
                yield Problem(f"{key}: {name}", _ELSEWHERE)
    if isinstance(asked, str):
        return
    everyone = {name for names in plan.by_output.values() for name in names}
    known = everyone | {split(name)[0] for name in everyone}
    apart = {name for names in _elsewhere(plan).values() for name in names}
    for name in asked:
        if name not in known | apart:
            reason = (
                "predicts nothing that the run decides on"
                if name in plan.models
                else ("no such member" + suggest(name, known))
            )
            yield Problem(f"{key}: {name}", reason)
    if not outputs(plan):
        yield Problem(key, "no output is left: masks need a member that predicts masks")


def _encoder_problems(plan: Plan) -> Iterator[Problem]:
    """Yield encoders whose form timm looks up in a hub or a folder whenever they are built."""
    for name in sorted(
        {split(member)[0] for members in plan.by_output.values() for member in members}
    ):
        encoder = plan.config["models"].get(name, {}).get("architecture", {}).get("encoder") or ""
        if ":" in encoder:
            where = f"models.{name}.architecture.encoder: {encoder}"
            yield Problem(where, "is looked up elsewhere wherever it predicts; name one of timm's")


def _step_problems(plan: Plan) -> Iterator[Problem]:
    """Yield steps that are to stay behind, and that the decision does not try."""
    known = plan.config["decision"]["steps"]
    for name in plan.config["bundle"]["without_steps"]:
        if name not in known:
            reason = "decision.steps has no such step" + suggest(name, known)
            yield Problem(f"bundle.without_steps: {name}", reason)


def outputs(plan: Plan) -> dict[str, list[str]]:
    """Give the members that travel, for each output for which any does.

    Those of `bundle.members`: all; or the last of every model, which of snapshots is the one with
    which training ended; or those that are named, a model standing for all its snapshots. Masks
    need a member that predicts masks: labels alone gate nothing.
    """
    asked = plan.config["bundle"]["members"]

    def travels(member: str) -> bool:
        model = split(member)[0]
        if asked == LAST:
            return member == plan.recipes.members(model)[-1]
        return asked == ALL or member in asked or model in asked

    kept = {
        output: [name for name in names if travels(name)]
        for output, names in plan.by_output.items()
    }
    masked = (plan.recipes.model(name)["architecture"] for name in kept.get("masks", []))
    if not any(registry.predicts_masks(architecture) for architecture in masked):
        kept.pop("masks", None)
    return {output: names for output, names in kept.items() if names}


def joint(plan: Plan) -> bool:
    """Tell whether labels and boxes travel as they are decided together: if both are there."""
    return plan.joint and set(plan.others) <= set(outputs(plan))


def left_out(plan: Plan) -> list[str]:
    """Name the members that stay behind, those made elsewhere among them."""
    kept = set(_names(plan))
    own = [name for name in plan.members if name not in kept]
    given = [name for names in _elsewhere(plan).values() for name in names]
    own = [name for name in own if any(name in names for names in plan.by_output.values())]
    return list(dict.fromkeys([*own, *given]))


def out_of_fold(plan: Plan) -> list[str]:
    """Give the predictions that tell the score of what travels, where anything stays behind.

    They come output by output, member by member, fold by fold.
    """
    if not left_out(plan) and not plan.config["bundle"]["without_steps"]:
        return []
    last = plan.rounds[-1]
    return [
        predictions(member, last, fold, "oof")
        for names in outputs(plan).values()
        for member in names
        for fold in plan.folds_of(member)
    ]


def _names(plan: Plan) -> list[str]:
    """Name all members that travel, each once."""
    return list(dict.fromkeys(name for names in outputs(plan).values() for name in names))


def channels(plan: Plan) -> list[str]:
    """Name the channel recipes that the members see."""
    return sorted({plan.recipes.model(member)["channels"] for member in _names(plan)})


def weights(plan: Plan) -> list[str]:
    """Give the weights that predict, member by member, fold by fold, of a run that can travel.

    Raises
    ------
    InputError
        If it cannot; see `check`.
    """
    check(plan)
    last = plan.rounds[-1]
    return [
        plan.final_weights(member, last, fold)
        for member in _names(plan)
        for fold in plan.folds_of(member)
    ]


def decisions(plan: Plan) -> dict[str, str]:
    """Give the decisions of the last round, those on labels and boxes together among them."""
    last = plan.rounds[-1]
    kinds = {output: FILES["decision_of"] for output in plan.scored}
    kinds["masks"] = FILES["decision"]
    order = [*outputs(plan), *([JOINT] if joint(plan) else [])]
    return {output: kinds[output].format(output=output, round=last) for output in order}


def members(plan: Plan) -> dict[str, dict[str, Any]]:
    """Say of every member how it predicts: model, channels, settings, snapshot, folds."""
    settings = {member: plan.recipes.model(member) for member in _names(plan)}
    return {
        member: {
            "model": split(member)[0],
            "channels": model["channels"],
            "predict": model["predict"],
            "snapshot": plan.recipes.snapshot(member),
            "folds": plan.folds_of(member),
        }
        for member, model in settings.items()
    }
