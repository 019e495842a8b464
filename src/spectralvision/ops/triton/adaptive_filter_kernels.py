"""Triton kernels of `adaptive_filter.py`: the columns of a spectrum from end to end, and the rows.

`columns_forward`, one image's group at a block of frequency columns v:

    T[h, v, i] = sum_w  x[i, h, w] F[w, v]              F = (cos - i sin) / sqrt W            (1)
    X[u, v, i] = sum_h  conj(E[u, h]) T[h, v, i]        E = exp(2 pi i u h / H) / sqrt H      (2)
    Z = softshrink(W2 act(W1 X + b1) + b2) * X          `network` of `complex_mlp_kernels.py` (3)
    Y[h, v, i] = sum_u  E[u, h] Z[u, v, i]                                                    (4)

`rows`, a block of rows (i, h) of one image's group, s being x or nothing:

    y[i, h, w] = sum_k  Y[k, i, h] R[k, w] + s[i, h, w]                                       (5)

k runs over the W real numbers of a row that (5) needs: the real parts of all V columns, then the
imaginary parts without those of column 0 and, for even W, of column W / 2. So Y takes the memory
of x, (B, G, W, I, H), and no column is padded.
`columns_backward` is (1) (2) for x, the same for dy with the adjoint of (5) in place of F, which
gives the gradient of Z, then the gradients of (3), and (4) on that of X; (5) with the adjoint of
(1) in place of R is then the gradient of x.

Tiles are (h or u, v, i): products along H read them as (H, V I), the mask network as (H V, I),
which is the same order in memory; only T is permuted once, (I, H, V) -> (H, V, I). Beyond the ends
of H, V and I they hold zeros.
Letters: B batch, G groups, I features of a group, H W rows and columns, U V frequencies, k real
numbers of a row of Y.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

from spectralvision.ops.triton.complex_mlp_kernels import network, network_backward


@triton.jit
def along_width(
    x,
    rows,
    first,
    H: tl.constexpr,
    W: tl.constexpr,
    V: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute equation (1), columns from `first` on: re and im, (HEIGHT, COLUMNS * WIDTH)."""
    row = tl.arange(0, WIDTH * HEIGHT)[:, None]
    i, h = row // HEIGHT, row % HEIGHT
    v = first + tl.arange(0, COLUMNS)[None, :]
    t_re = tl.zeros((WIDTH * HEIGHT, COLUMNS), tl.float32)
    t_im = tl.zeros((WIDTH * HEIGHT, COLUMNS), tl.float32)
    for start in range(0, W, CHUNK):
        w = start + tl.arange(0, CHUNK)
        part = tl.load(
            x + (i * H + h) * W + w[None, :],
            mask=(i < FEATURES) & (h < H) & (w[None, :] < W),
            other=0.0,
        )
        at, inside = w[:, None] * V + v, (w[:, None] < W) & (v < V)
        f_re, f_im = (
            tl.load(rows + at, mask=inside, other=0.0),
            tl.load(rows + W * V + at, mask=inside, other=0.0),
        )
        t_re = tl.dot(part, f_re, t_re, input_precision=PRECISION)
        t_im = tl.dot(part, f_im, t_im, input_precision=PRECISION)
    kind = x.dtype.element_ty
    t_re = tl.permute(tl.reshape(t_re.to(kind), (WIDTH, HEIGHT, COLUMNS)), (1, 2, 0))
    t_im = tl.permute(tl.reshape(t_im.to(kind), (WIDTH, HEIGHT, COLUMNS)), (1, 2, 0))
    return tl.reshape(t_re, (HEIGHT, COLUMNS * WIDTH)), tl.reshape(t_im, (HEIGHT, COLUMNS * WIDTH))


@triton.jit
def exponentials(columns, H: tl.constexpr, HEIGHT: tl.constexpr):
    """Load E, (HEIGHT, HEIGHT), symmetric: re and im."""
    u, h = tl.arange(0, HEIGHT)[:, None], tl.arange(0, HEIGHT)[None, :]
    inside = (u < H) & (h < H)
    re = tl.load(columns + u * H + h, mask=inside, other=0.0)
    return re, tl.load(columns + H * H + u * H + h, mask=inside, other=0.0)


@triton.jit
def along_height(e_re, e_im, re, im, PRECISION: tl.constexpr):
    """Compute E z, equation (4); equation (2) with -e_im."""
    out_re = tl.dot(
        -e_im, im, tl.dot(e_re, re, input_precision=PRECISION), input_precision=PRECISION
    )
    out_im = tl.dot(
        e_im, re, tl.dot(e_re, im, input_precision=PRECISION), input_precision=PRECISION
    )
    return out_re, out_im


@triton.jit
def store_columns(
    y,
    first,
    re,
    im,
    H: tl.constexpr,
    W: tl.constexpr,
    V: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store (HEIGHT, COLUMNS * WIDTH) in its places of (k, i, h)."""
    column = tl.arange(0, COLUMNS * WIDTH)[None, :]
    v, i, h = first + column // WIDTH, column % WIDTH, tl.arange(0, HEIGHT)[:, None]
    inside = (i < FEATURES) & (h < H)
    at = i * H + h
    tl.store(y + v * FEATURES * H + at, re.to(y.dtype.element_ty), mask=inside & (v < V))
    tl.store(
        y + (V + v - 1) * FEATURES * H + at,
        im.to(y.dtype.element_ty),
        mask=inside & (v >= 1) & (v <= W - V),
    )


@triton.jit
def columns_forward(
    x,
    y,
    rows,
    columns,
    w1,
    b1,
    w2,
    b2,
    threshold,
    H: tl.constexpr,
    W: tl.constexpr,
    V: tl.constexpr,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    SILU: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # Blocks of columns of one image's group are neighbours: x is read from memory once for all.
    image_group = tl.program_id(0) // tl.cdiv(V, COLUMNS)
    first = tl.program_id(0) % tl.cdiv(V, COLUMNS) * COLUMNS
    here = image_group.to(tl.int64) * (FEATURES * H * W)
    e_re, e_im = exponentials(columns, H, HEIGHT)
    t_re, t_im = along_width(
        x + here, rows, first, H, W, V, FEATURES, WIDTH, HEIGHT, COLUMNS, CHUNK, PRECISION
    )  # (1)
    x_re, x_im = along_height(e_re, -e_im, t_re, t_im, PRECISION)  # (2)
    x_re = tl.reshape(x_re, (HEIGHT * COLUMNS, WIDTH))
    x_im = tl.reshape(x_im, (HEIGHT * COLUMNS, WIDTH))
    z_re, z_im = network(
        x_re,
        x_im,
        w1,
        b1,
        w2,
        b2,
        image_group % GROUPS,
        threshold,
        GROUPS,
        FEATURES,
        WIDTH,
        SILU,
        True,
        PRECISION,
    )  # (3)
    z_re = tl.reshape(z_re.to(x.dtype.element_ty), (HEIGHT, COLUMNS * WIDTH))
    z_im = tl.reshape(z_im.to(x.dtype.element_ty), (HEIGHT, COLUMNS * WIDTH))
    y_re, y_im = along_height(e_re, e_im, z_re, z_im, PRECISION)  # (4)
    store_columns(y + here, first, y_re, y_im, H, W, V, FEATURES, WIDTH, HEIGHT, COLUMNS)


@triton.jit
def columns_backward(
    x,
    dy,
    gt,
    gw1,
    gb1,
    gw2,
    gb2,
    rows,
    rows_adjoint,
    columns,
    w1,
    b1,
    w2,
    b2,
    batch,
    threshold,
    SPLITS: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    V: tl.constexpr,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
    SILU: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Process one group at a block of columns of every SPLITS-th image. gt: gradient of T."""
    blocks = tl.cdiv(V, COLUMNS)
    first, group = tl.program_id(0) % blocks * COLUMNS, tl.program_id(0) // blocks % GROUPS
    start = tl.program_id(0) // blocks // GROUPS
    split = start * blocks + tl.program_id(0) % blocks
    for image in range(start, batch, SPLITS):
        here = (image * GROUPS + group).to(tl.int64) * (FEATURES * H * W)
        e_re, e_im = exponentials(columns, H, HEIGHT)
        t_re, t_im = along_width(
            x + here, rows, first, H, W, V, FEATURES, WIDTH, HEIGHT, COLUMNS, CHUNK, PRECISION
        )  # (1)
        x_re, x_im = along_height(e_re, -e_im, t_re, t_im, PRECISION)  # (2)
        t_re, t_im = along_width(
            dy + here,
            rows_adjoint,
            first,
            H,
            W,
            V,
            FEATURES,
            WIDTH,
            HEIGHT,
            COLUMNS,
            CHUNK,
            PRECISION,
        )  # (5), its adjoint
        g_re, g_im = along_height(e_re, -e_im, t_re, t_im, PRECISION)  # (4), its adjoint
        x_re, x_im = (
            tl.reshape(x_re, (HEIGHT * COLUMNS, WIDTH)),
            tl.reshape(x_im, (HEIGHT * COLUMNS, WIDTH)),
        )
        g_re, g_im = (
            tl.reshape(g_re, (HEIGHT * COLUMNS, WIDTH)),
            tl.reshape(g_im, (HEIGHT * COLUMNS, WIDTH)),
        )
        z_re, z_im = network_backward(
            x_re,
            x_im,
            g_re,
            g_im,
            gw1,
            gb1,
            gw2,
            gb2,
            split,
            image > start,
            w1,
            b1,
            w2,
            b2,
            group,
            threshold,
            GROUPS,
            FEATURES,
            WIDTH,
            HEIGHT * COLUMNS,
            SILU,
            True,
            PRECISION,
        )  # (3), its adjoint
        z_re = tl.reshape(z_re.to(x.dtype.element_ty), (HEIGHT, COLUMNS * WIDTH))
        z_im = tl.reshape(z_im.to(x.dtype.element_ty), (HEIGHT, COLUMNS * WIDTH))
        e_re, e_im = exponentials(columns, H, HEIGHT)
        z_re, z_im = along_height(e_re, e_im, z_re, z_im, PRECISION)  # (2), its adjoint
        store_columns(gt + here, first, z_re, z_im, H, W, V, FEATURES, WIDTH, HEIGHT, COLUMNS)
        tl.debug_barrier()  # another thread may read the sums in the next iteration


@triton.jit
def rows(
    y,
    table,
    skip,
    out,
    count,
    W: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    SKIP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute equation (5) for a block of one group's `count` rows. table: (W, W), k and w."""
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    w = tl.arange(0, WIDTH)[None, :]
    here = tl.program_id(1).to(tl.int64) * count * W
    total = tl.zeros((BLOCK, WIDTH), tl.float32)
    for start in range(0, W, 16):
        k = start + tl.arange(0, 16)[:, None]
        part = tl.load(
            y + here + k * count + r[None, :], mask=(k < W) & (r[None, :] < count), other=0.0
        )
        matrix = tl.load(table + k * W + w, mask=(k < W) & (w < W), other=0.0)
        total = tl.dot(tl.trans(part), matrix, total, input_precision=PRECISION)  # (5)
    at, inside = here + r[:, None] * W + w, (r[:, None] < count) & (w < W)
    if SKIP:
        total += tl.load(skip + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
