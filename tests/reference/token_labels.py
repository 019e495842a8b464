"""Token labels, slow and obvious: loops over positions and classes, NumPy, double."""

import numpy as np


def sample(plane: np.ndarray, y: float, x: float) -> float:
    """Sample a plane (H, W) bilinearly; centres are at whole numbers, the edge is repeated."""
    y, x = min(max(y, 0), plane.shape[0] - 1), min(max(x, 0), plane.shape[1] - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
    down, along = y - top, x - left
    upper = plane[top, left] * (1 - along) + plane[top, right] * along
    lower = plane[bottom, left] * (1 - along) + plane[bottom, right] * along
    return upper * (1 - down) + lower * down


def cut(values, indices, num_classes, box, flipped, grid):
    """Crop maps (K, H, W) -> (num_classes, h, w): a cell is the mean of evenly spaced samples."""
    _, height, width = values.shape
    planes = np.zeros((num_classes, height, width))
    for k in range(len(values)):
        for y in range(height):
            for x in range(width):
                planes[indices[k, y, x], y, x] = values[k, y, x]
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    step_y, step_x = (bottom - top) / grid[0], (right - left) / grid[1]
    num_y, num_x = int(np.ceil(step_y)), int(np.ceil(step_x))
    out = np.zeros((num_classes, *grid))
    for c in range(num_classes):
        for i in range(grid[0]):
            for j in range(grid[1]):
                found = [
                    sample(planes[c], top + step_y * (i + (a + 0.5) / num_y) - 0.5,
                           left + step_x * (j + (b + 0.5) / num_x) - 0.5)
                    for a in range(num_y) for b in range(num_x)
                ]  # fmt: skip
                out[c, i, j] = np.mean(found)
    return out[:, :, ::-1] if flipped else out


def cross_entropy(logits, target, smoothing):
    """Return the loss of one position; logits and target are (classes,)."""
    exponentials = np.exp(logits - logits.max())
    logs = np.log(exponentials / exponentials.sum())
    smooth = [(1 - smoothing) * one + smoothing / len(target) for one in target]
    return -sum(one * log for one, log in zip(smooth, logs, strict=True))


def loss(logits, tokens, box_area, image_targets, token_targets, smoothing):
    """Return the loss of logits (B, classes) and tokens (B, N, classes), with targets alike."""
    batch, num, _ = tokens.shape
    share = box_area / num
    total = 0.0
    for i in range(batch):
        mixed = (1 - share) * image_targets[i] + share * image_targets[batch - 1 - i]
        total += cross_entropy(logits[i], mixed, smoothing) / batch
        for n in range(num):
            total += (
                0.5 * cross_entropy(tokens[i, n], token_targets[i, n], smoothing) / (batch * num)
            )
    return total
