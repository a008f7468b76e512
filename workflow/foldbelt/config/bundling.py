"""What of a run travels in a bundle, and what cannot, as far as its config tells."""

from typing import Any

from foldbelt import registry
from foldbelt.config.file_names import FILES
from foldbelt.config.output_files import JOINT
from foldbelt.config.plan import Plan
from foldbelt.config.recipes import split
from foldbelt.files import Problem, raise_all


def check(plan: Plan) -> None:
    """Refuse a run of which no bundle can be made.

    Raises
    ------
    InputError
        Naming everything that stays behind.
    """
    made = "its predictions were made elsewhere, and cannot be made of other images"
    problems = [Problem(f"blend.external.{name}", made) for name in plan.external]
    for output in plan.others:
        names = plan.elsewhere(output) + plan.elsewhere(output, scored=False)
        problems += [Problem(f"{output}.external.{name}", made) for name in names]
    for name in channels(plan):
        for module in registry.channels(plan.recipes.channels[name]):
            columns = registry.constant(module, "COLUMNS", ())
            if columns:
                reason = f"needs of every image a {' and a '.join(columns)}, which no file shows"
                channel = module.rpartition(".")[2]
                problems.append(Problem(f"channels.{name}.use: {channel}", reason))
    if len(plan.rounds) > 1 and plan.config["pseudo"]["rule"] == "halves":
        reason = (
            "which models predict a test image depends on which of them were trained on it; with "
            "other images the run's own would not come out"
        )
        problems.append(Problem("pseudo.rule: halves", reason))
    hint = "Leave these out of a recipe of its own, and bundle that run (docs/bundle.md)."
    raise_all(problems, f"No bundle can be made of the run {plan.config['run']}", hint)


def outputs(plan: Plan) -> dict[str, list[str]]:
    """Give the members that are blended for each output."""
    return {output: list(names) for output, names in plan.by_output.items() if names}


def _names(plan: Plan) -> list[str]:
    """Name all members, each once."""
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
    kinds |= {"masks": FILES["decision"]} if plan.masks else {}
    order = [*outputs(plan), *([JOINT] if plan.joint else [])]
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
