"""Which files an ablation's variants read and write; a part of `foldbelt.config.plan.Plan`."""

from collections.abc import Iterator, Mapping
from typing import Any

from foldbelt import registry
from foldbelt.config.file_names import BENCHMARKS, FILES, Number
from foldbelt.config.recipes import Recipes, Variant
from foldbelt.config.variants import BASE


class VariantFiles:
    """Everything that the rules ask of the variants.

    Attributes
    ----------
    config, recipes
        As of `Plan`.
    """

    config: Mapping[str, Any]
    recipes: Recipes

    def fold_numbers(self, scheme: str) -> list[int]:
        """Numbers of a scheme's folds."""
        return list(range(self.recipes.folds[scheme]["count"]))

    @property
    def variants(self) -> dict[str, Variant]:
        """The ablation's variants by name, the recipe itself first; empty without one."""
        return self.recipes.variants

    def variant_members(self, variant: str, seed: Number) -> list[str]:
        """Names under which a variant's predictions are found."""
        return self.recipes.members(self.variants[variant].models[int(seed)])

    def variant_steps(self, variant: str) -> list[str]:
        """Modules of the steps of a variant's decision."""
        return registry.steps(self.variants[variant].decision["steps"])

    def variant_code(self, variant: str, metric: str) -> list[str]:
        """Name the modules behind a variant's score; `metric` is that of masks."""
        output = self.variants[variant].output
        if output == "masks":
            return [metric, *self.variant_steps(variant)]
        return [f"foldbelt.decide.{output}_io"]

    def forced(self, variant: str) -> list[str]:
        """Name what of a variant's decision is tried on it: its own steps, axes with own values.

        A search would leave out what does not help, so that nothing could ever harm. A variant that
        only takes values or modes away tries nothing: what is left is selected as in the recipe.
        """
        recipe, decision = self.variants[BASE].decision, self.variants[variant].decision
        steps, known = decision["steps"], recipe["steps"]
        space, other = decision["space"], recipe["space"]
        names = [step for step in steps if step not in known or known[step] != steps[step]]
        new = {key: not set(space[key]) <= set(other[key]) for key in space}
        names += [axis for axis in ("min_area", "min_component") if new[axis]]
        return names + ["gate"] * (new["gate"] or new["gate_mode"])

    def variant_folds_file(self, variant: str) -> str:
        """Give the folds of a variant."""
        return FILES["folds"].format(folds=self.variants[variant].folds)

    def variant_predictions(self, variant: str, seed: Number) -> list[str]:
        """Give a variant's out-of-fold predictions in its last round, snapshot after snapshot."""
        jobs = self._predicted(variant, seed)
        return [FILES["predictions"].format(part="oof", **job) for job in jobs]

    def variant_benchmarks(self, kind: str) -> dict[str, list[str]]:
        """Give the benchmarks of the jobs behind each variant, in all folds and seeds.

        Parameters
        ----------
        kind
            "weights" or "oof".

        Returns
        -------
        dict
            Variant → files.
        """
        jobs = {"weights": self._trained, "oof": self._predicted}[kind]
        pattern, run = BENCHMARKS[kind], self.config["run"]
        return {
            name: [
                pattern.format(run=run, part="oof", **job)
                for seed in variant.models
                for job in jobs(name, seed)
            ]
            for name, variant in self.variants.items()
        }

    def _trained(self, name: str, seed: Number) -> Iterator[dict[str, Any]]:
        """Yield the training jobs behind a variant."""
        variant = self.variants[name]
        model = self.recipes.model(variant.models[int(seed)])
        for fold in self._variant_folds(name):
            for number in range(variant.rounds + 1):
                for stage, owner in model["weights"][number].items():
                    yield {"model": owner, "round": number, "fold": fold, "stage": stage}

    def _predicted(self, name: str, seed: Number) -> Iterator[dict[str, Any]]:
        """Yield the jobs that make a variant's out-of-fold predictions."""
        variant = self.variants[name]
        owner = self.recipes.model(variant.models[int(seed)])["predictions"][variant.rounds]
        for fold in self._variant_folds(name):
            for member in self.recipes.members(owner):
                yield {"member": member, "round": variant.rounds, "fold": fold}

    def _variant_folds(self, variant: str) -> list[int]:
        chosen = self.config["ablation"]["folds"]
        model = self.recipes.model(next(iter(self.variants[variant].models.values())))
        return chosen or model.get("only_folds") or self.fold_numbers(self.variants[variant].folds)
