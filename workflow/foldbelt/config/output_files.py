"""Which files labels and boxes are made of; a part of `foldbelt.config.plan.Plan`."""

from typing import Any

from foldbelt.config import joint
from foldbelt.config.file_names import FILES, Number
from foldbelt.config.variant_files import VariantFiles

JOINT = "joint"


class OutputFiles(VariantFiles):
    """Everything that the rules ask of labels and boxes.

    Attributes
    ----------
    by_output, rounds, scheme
        As of `Plan`.
    """

    by_output: dict[str, list[str]]
    rounds: range | list[int]
    scheme: str

    @property
    def others(self) -> list[str]:
        """Outputs beside masks."""
        return [output for output in self.by_output if output != "masks"]

    @property
    def joint(self) -> bool:
        """Whether labels and boxes are decided together, too."""
        return self.config["joint"] is not None and "labels" in self.by_output

    @property
    def scored(self) -> list[str]:
        """What has a decision and a score beside masks, the most important first."""
        return [JOINT, *self.others] if self.joint else self.others

    @property
    def joint_classes(self) -> list[str] | None:
        """Classes whose mean the joint decision maximises; None: all that are predicted."""
        return joint.classes(self.config)

    def folds_of(self, member: str) -> list[int]:
        """Give the folds of a member: all, or those that its model is trained on alone."""
        settings = self.recipes.model(member)
        only = settings.get("only_folds")
        return self.fold_numbers(settings["folds"]) if only is None else sorted(only)

    def output_files(self, output: str, round: Number, part: str) -> list[str]:
        """Give the predictions of all members of an output, member by member, fold by fold."""
        return [
            predictions(member, round, fold, part)
            for member in self.by_output.get(output, [])
            for fold in self.folds_of(member)
        ]

    def folds_a_member(self, output: str) -> dict[str, list[int]]:
        """Give the folds of which each member of an output has a file in a round."""
        return {member: self.folds_of(member) for member in self.by_output.get(output, [])}

    def decisions(self, output: str) -> list[str]:
        """Give the decisions on an output beside masks, or on all of them, round by round."""
        kind = FILES["decision_of"]
        return [kind.format(output=output, round=number) for number in self.rounds]

    # Predictions made elsewhere

    def elsewhere(self, output: str, scored: bool = True) -> list[str]:
        """Name what was predicted of an output elsewhere and is scored, or what is not."""
        given = self.config[output]["external"] if output in self.by_output else {}
        return [name for name, files in given.items() if (files["oof"] is not None) == scored]

    def elsewhere_files(self, output: str, part: str, scored: bool = True) -> list[str]:
        """Give them as files of this run; `part` is train or test."""
        kind = FILES["elsewhere"]
        names = self.elsewhere(output, scored)
        return [kind.format(output=output, member=name, part=part) for name in names]

    def elsewhere_folds(self, part: str) -> str | list[str]:
        """Give the folds of the images that they are held against, where they are out of fold."""
        return FILES["folds"].format(folds=self.scheme) if part == "train" else []

    def elsewhere_source(self, output: str, member: str, part: str) -> str:
        """Give the file that was made elsewhere."""
        files: dict[str, Any] = self.config[output]["external"][member]
        return files["oof" if part == "train" else part]

    def unscored(self, output: str) -> dict[str, float]:
        """Give the shares of the test blend that those without scores take."""
        given = self.config[output]["external"]
        return {name: given[name]["weight"] for name in self.elsewhere(output, scored=False)}


def predictions(member: str, round: Number, fold: Number, part: str) -> str:
    """Give the predictions of a member of one fold; `part` is oof or test."""
    return FILES["predictions"].format(member=member, round=round, fold=fold, part=part)
