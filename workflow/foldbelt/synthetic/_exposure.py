"""What a machine makes of a chest: a frame, things on the skin, exposure, noise, borders."""

import cv2
import numpy as np

from foldbelt.synthetic._canvas import Array, Random, field
from foldbelt.synthetic._thorax import Frame, Thorax


def framed(shape: tuple[int, int], random: Random) -> Frame:
    """Draw how a chest lies in a picture."""
    height, width = shape
    return Frame(
        x=width * random.uniform(0.47, 0.53),
        y=height * random.uniform(0.48, 0.54),
        across=width * random.uniform(0.5, 0.56),
        down=height * random.uniform(0.5, 0.57),
        tilt=random.uniform(-0.05, 0.05),
    )


def things(density: Array, chest: Thorax, frame: Frame, random: Random) -> None:
    """Add what lies on the chest in some pictures, in place: breasts, leads, electrodes, a box."""
    u, v = frame.coordinates((density.shape[0], density.shape[1]))
    if random.random() < 0.45:
        light, low = random.uniform(0.03, 0.1), random.uniform(0.2, 0.45)
        for side in (-1, 1):
            off = np.hypot((u * side - 0.5) / 0.42, (v - low) / 0.36)
            edge = np.clip((1.05 - off) / 0.15, 0, 1)
            density += np.float32(light) * chest.body * edge * np.clip(off, 0.3, 1)
    drawn = np.zeros_like(density)
    unit = frame.down / 80
    for _ in range(int(random.integers(0, 3))):  # leads with their electrodes
        turns = random.uniform(0, 6.3) + np.cumsum(random.normal(0, 0.3, 24))
        steps = 0.06 * np.stack([np.cos(turns), np.sin(turns)], 1)
        start = [random.uniform(-0.9, 0.9), random.uniform(-0.6, 0.8)]
        line = np.array([frame.pixel(*point) for point in start + np.cumsum(steps, axis=0)])
        fixed = np.round(8 * line).astype(np.int32)[:, None]
        light = float(random.uniform(0.12, 0.35))
        cv2.polylines(drawn, [fixed], False, light, max(1, round(unit)), cv2.LINE_AA, 3)
        spot = (round(float(line[0, 0])), round(float(line[0, 1])))
        cv2.circle(drawn, spot, max(1, round(2.5 * unit)), light, -1, cv2.LINE_AA)
    if random.random() < 0.12:  # a pacemaker
        x, y = frame.pixel(random.choice([-1, 1]) * 0.5, random.uniform(-0.5, -0.3))
        size = (14 * unit, 11 * unit)
        turned = cv2.boxPoints(((x, y), size, float(random.uniform(-40, 40))))
        cv2.fillPoly(drawn, [np.round(8 * turned).astype(np.int32)], 0.5, cv2.LINE_AA, 3)
    density += drawn


def exposed(density: Array, random: Random) -> Array:
    """Turn densities into what is stored, between 0 and 1: brighter is denser.

    Contrast, brightness and gamma are drawn for every picture and without regard to what is in it.
    """
    height, width = shape = (density.shape[0], density.shape[1])
    haze = field(shape, height / 1.5, width / 1.5, random) * np.float32(random.uniform(0.0, 0.04))
    light = np.clip(density + haze, 0, None)
    sharp = cv2.GaussianBlur(light, (0, 0), 1 + height / 40)
    light = light + np.float32(random.uniform(-0.1, 0.35)) * (light - sharp)
    light = random.uniform(0.75, 1.25) * light + random.uniform(-0.05, 0.12)
    light = np.clip(light, 0, 1.1).astype(np.float32) ** np.float32(random.uniform(0.7, 1.5))
    noise = random.standard_normal(shape, dtype=np.float32) * np.float32(
        random.uniform(0.006, 0.03)
    )
    light = light + noise * np.sqrt(0.3 + light)
    _mark(light, random)
    _collimate(light, random)
    return np.clip(light, 0, 1).astype(np.float32)


def _mark(light: Array, random: Random) -> None:
    """Put a letter into a corner."""
    if random.random() < 0.7:
        height, width = light.shape
        place = (int(width * random.choice([0.04, 0.88])), int(height * random.uniform(0.08, 0.2)))
        size = height / 350
        letter = "LR"[int(random.integers(2))]
        drawn = np.zeros((height, width), np.uint8)  # OpenCV writes into bytes only
        wide = max(1, round(2 * size))
        cv2.putText(drawn, letter, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, wide, cv2.LINE_AA)
        np.maximum(light, drawn.astype(np.float32) * np.float32(0.95 / 255), out=light)


def _collimate(light: Array, random: Random) -> None:
    """Cover the edges outside of the beam: black, or white in some machines."""
    if random.random() < 0.45:
        height, width = light.shape
        shade = float(random.choice([0.0, 0.0, 0.03, 0.97]))
        ends = np.round(random.uniform(-0.03, 0.06, 4) * [height, height, width, width])
        top, bottom, left, right = np.maximum(ends.astype(int), 0)
        for part in (np.s_[:top], np.s_[height - bottom :], np.s_[:, :left]):
            light[part] = shade
        light[:, width - right :] = shade
