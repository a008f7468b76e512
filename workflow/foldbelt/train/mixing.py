"""Samples mixed within a batch, and softened targets: mixup, CutMix, label smoothing.

Mixup [1]_ adds two images and asks the network for both answers, each in its share. CutMix [2]_
pastes a box of one image into another; where there are masks, the box of the mask goes with it
[3]_, so that every pixel keeps its own answer. The image's labels follow from the pasted mask, or
are shared by area where masks do not tell them. A stage that asks for both tosses a coin for every
batch, as timm does. Label smoothing [4]_ moves targets from 0 and 1 towards each other.

References
----------
.. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization.
   ICLR 2018.
.. [2] S. Yun et al.: CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
   Features. ICCV 2019.
.. [3] G. French et al.: Semi-supervised semantic segmentation needs strong, varied perturbations.
   BMVC 2020.
.. [4] C. Szegedy et al.: Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
"""

import numpy as np
import torch

from foldbelt.config.stage_settings import MixingSettings

Share = tuple[float, torch.Tensor, torch.Tensor]


class Mixer:
    """Mix the samples of a batch as a stage says.

    Parameters
    ----------
    settings
        `mixup` and `cutmix` (both parameters of the beta distribution, or None) and
        `label_smoothing` (a number below .5; two answers change by it).
    classes
        Number of mask classes; a further plane of the targets marks ignored pixels and is never
        smoothed. Only label smoothing and derived labels need it.
    derived
        Whether image labels say what masks show: then those of a pasted image follow from its
        mask, and are not shared by area.

    Raises
    ------
    ValueError
        If labels are to be smoothed and the number of classes is not given.

    Examples
    --------
    >>> mixer = Mixer(MixingSettings(mixup=0.2, cutmix=None, label_smoothing=0))
    >>> x, target, label = torch.rand(4, 1, 8, 8), torch.zeros(4, 1, 8, 8), torch.zeros(4, 1)
    >>> x, shares = mixer(x, target, label, seed=0)
    >>> len(shares), round(sum(share for share, _, _ in shares), 6)
    (2, 1.0)
    """

    def __init__(
        self, settings: MixingSettings, classes: int | None = None, derived: bool = False
    ) -> None:
        self.mixup, self.cutmix = settings.mixup or 0.0, settings.cutmix or 0.0
        self.smoothing = settings.label_smoothing
        if (self.smoothing or derived) and classes is None:
            raise ValueError("it must be known which planes of the target are classes.")
        self.classes, self.derived = classes, derived

    def __call__(
        self, x: torch.Tensor, target: torch.Tensor, label: torch.Tensor, seed: int
    ) -> tuple[torch.Tensor, list[Share]]:
        """Mix one batch.

        Parameters
        ----------
        x
            (N,C,H,W) floats.
        target
            (N,P,H,W), 0 or 1: the classes, then the ignored pixels if there are any.
        label
            (N,L) floats.
        seed
            The same seed mixes in the same way, on any device.

        Returns
        -------
        x, shares
            The mixed images, and (share, target, label) of what is in them; the shares sum to 1.
            The loss is the sum of share × loss. Targets are u8 unless they were smoothed. Without
            any mixing they are what came in.
        """
        shares: list[Share] = [(1.0, target, label)]
        if self.mixup or self.cutmix:
            random = np.random.default_rng(seed)
            drawn = random.permutation(len(x))
            order = torch.from_numpy(drawn).to(x.device)
            if self.cutmix and (not self.mixup or random.random() < 0.5):
                x, shares = self._paste(x, target, label, order, random)
            else:
                share = float(random.beta(self.mixup, self.mixup))
                x = share * x + (1 - share) * x[order]
                shares = [(share, target, label), (1 - share, target[order], label[order])]
        if self.smoothing:
            shares = [(share, self._smooth(t), self._soft(lab)) for share, t, lab in shares]
        return x, shares

    def _paste(
        self,
        x: torch.Tensor,
        target: torch.Tensor,
        label: torch.Tensor,
        order: torch.Tensor,
        random: np.random.Generator,
    ) -> tuple[torch.Tensor, list[Share]]:
        """Paste one box, at the same place for all, of every image's partner into it."""
        height, width = x.shape[2:]
        area = random.beta(self.cutmix, self.cutmix)
        rows, columns = (_stretch(side, area, random) for side in (height, width))
        x, target = x.clone(), target.clone()
        # Indexing by `order` copies, so nothing is read that was already pasted over.
        x[:, :, rows, columns] = x[order][:, :, rows, columns]
        target[:, :, rows, columns] = target[order][:, :, rows, columns]
        if self.derived and label.shape[1]:
            return x, [(1.0, target, self._shown(target, label.shape[1]))]
        pasted = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        if pasted in (0, 1):  # 0 × NaN is NaN: what is not in the image would make it unknown
            return x, [(1.0, target, label[order] if pasted else label)]
        return x, [(1.0, target, (1 - pasted) * label + pasted * label[order])]

    def _shown(self, target: torch.Tensor, count: int) -> torch.Tensor:
        """Labels (N,count) f32 of what targets (N,P,H,W) show, less the ignored pixels."""
        masks = target[:, : self.classes] > 0
        if target.shape[1] > masks.shape[1]:
            masks = masks & (target[:, -1:] == 0)
        present = masks.flatten(2).any(dim=2)
        present = present.any(dim=1, keepdim=True) if count == 1 else present[:, :count]
        return present.float()

    def _smooth(self, target: torch.Tensor) -> torch.Tensor:
        soft = target.to(torch.float32)
        planes = [self._soft(soft[:, : self.classes]), soft[:, self.classes :]]
        return torch.cat(planes, dim=1)

    def _soft(self, values: torch.Tensor) -> torch.Tensor:
        return values * (1 - 2 * self.smoothing) + self.smoothing


def _stretch(side: int, area: float, random: np.random.Generator) -> slice:
    """Place one side of a box of some share of the area; it ends at the image's border."""
    length, centre = int(side * area**0.5), int(random.integers(side))
    start = centre - length // 2
    return slice(max(start, 0), min(start + length, side))
