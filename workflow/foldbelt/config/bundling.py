"""What of a run travels in a bundle, and what cannot, as far as its config tells."""

from typing import Any

from foldbelt import registry
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
    if not plan.masks:
        problems.append(Problem("outputs", "the run predicts no masks"))
    problems += [
        Problem(f"outputs: {output}", "bundles predict masks alone") for output in plan.others
    ]
    if plan.joint:
        problems.append(Problem("joint", "labels and boxes decided together do not travel"))
    for name in plan.channels:
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


def weights(plan: Plan) -> list[str]:
    """Give the weights that predict, member by member, fold by fold, of a run that can travel.

    Raises
    ------
    InputError
        If it cannot; see `check`.
    """
    check(plan)
    last = plan.rounds[-1]
    return [plan.final_weights(member, last, fold) for member in plan.masks for fold in plan.folds]


def members(plan: Plan) -> dict[str, dict[str, Any]]:
    """Say of every member of the masks' blend how it predicts: model, channels, settings."""
    settings = {member: plan.recipes.model(member) for member in plan.masks}
    return {
        member: {
            "model": split(member)[0],
            "channels": model["channels"],
            "predict": model["predict"],
            "snapshot": plan.recipes.snapshot(member),
        }
        for member, model in settings.items()
    }
