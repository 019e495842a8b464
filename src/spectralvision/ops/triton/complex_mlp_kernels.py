"""Triton kernels of `complex_mlp.py`, and the parts that the adaptive filter's kernels share.

    P = X W1 + b1,   A = act(P),   Q = A W2 + b2,   M = softshrink(Q)                         (1)
    Y = M * X  or  Y = Q                                                                      (2)

With g the gradient of Y and * the elementwise product of two complex tiles (without the product
gQ = g and gX = 0),

    gM = conj(X) * g,   gQ = gM where |Q| > threshold else 0,   gX = conj(M) * g              (3)
    gW2 = A^H gQ,   gb2 = sum gQ,   gA = gQ W2^H,   gP = act'(P) gA                           (4)
    gW1 = X^H gP,   gb1 = sum gP,   gX += gP W1^H                                             (5)

Where an operation applies to real and imaginary parts separately (act, softshrink, their
derivatives), so does its gradient. A tile has one row per position and one column per feature;
rows and columns beyond the end hold zeros, whose gradients are zeros. Operands have the dtype of
the weights, sums are float32. Sums over positions stay in one program, which writes its own copy
(split) of the weights' gradients: no atomics, so two runs give the same bits.
Letters: B batch, G groups, I features of a group, N positions, S splits, 2 = (re, im).

Length: forward and backward kernels share these equations and helpers.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def load_weight(weight, group, GROUPS: tl.constexpr, FEATURES: tl.constexpr, WIDTH: tl.constexpr):
    """Load (re, im) of one group of (2, G, I, I), each (WIDTH, WIDTH): in, out."""
    i, o = tl.arange(0, WIDTH)[:, None], tl.arange(0, WIDTH)[None, :]
    inside = (i < FEATURES) & (o < FEATURES)
    at = group * FEATURES * FEATURES + i * FEATURES + o
    re = tl.load(weight + at, mask=inside, other=0.0)
    im = tl.load(weight + GROUPS * FEATURES * FEATURES + at, mask=inside, other=0.0)
    return re, im


@triton.jit
def affine(
    re,
    im,
    wr,
    wi,
    bias,
    group,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute z W + b, float32."""
    o = tl.arange(0, WIDTH)
    br = tl.load(bias + group * FEATURES + o, mask=o < FEATURES, other=0.0).to(tl.float32)
    bi = tl.load(bias + (GROUPS + group) * FEATURES + o, mask=o < FEATURES, other=0.0).to(
        tl.float32
    )
    out_re = (
        tl.dot(im, -wi, tl.dot(re, wr, input_precision=PRECISION), input_precision=PRECISION)
        + br[None, :]
    )
    out_im = (
        tl.dot(im, wr, tl.dot(re, wi, input_precision=PRECISION), input_precision=PRECISION)
        + bi[None, :]
    )
    return out_re, out_im


@triton.jit
def adjoint(re, im, wr, wi, to_re, to_im, PRECISION: tl.constexpr):
    """Compute g W^H, added to (to_re, to_im)."""
    tr, ti = tl.trans(wr), tl.trans(wi)
    out_re = tl.dot(
        im, ti, tl.dot(re, tr, to_re, input_precision=PRECISION), input_precision=PRECISION
    )
    out_im = tl.dot(
        re, -ti, tl.dot(im, tr, to_im, input_precision=PRECISION), input_precision=PRECISION
    )
    return out_re, out_im


@triton.jit
def over_positions(z, g, WIDTH: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr):
    """Compute z^T g, (WIDTH, WIDTH), of tiles with ROWS rows.

    Every warp computes a product of fewer than 64 rows in full; so for narrow tiles each warp takes
    16 positions, and the products are added.
    """
    if WIDTH >= 64:
        return tl.dot(tl.trans(z), g, input_precision=PRECISION)
    else:
        z = tl.permute(tl.reshape(z, (ROWS // 16, 16, WIDTH)), (0, 2, 1))
        return tl.sum(
            tl.dot(z, tl.reshape(g, (ROWS // 16, 16, WIDTH)), input_precision=PRECISION), axis=0
        )


@triton.jit
def add_weight(
    out,
    split,
    re,
    im,
    g_re,
    g_im,
    more,
    group,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Add z^H g to one split of a weight's gradient, (S, 2, G, I, I), used by this program only.

    The first time, without `more`, the memory is not read.
    """
    i, o = tl.arange(0, WIDTH)[:, None], tl.arange(0, WIDTH)[None, :]
    inside = (i < FEATURES) & (o < FEATURES)
    at = out + ((split * 2 * GROUPS + group) * FEATURES + i) * FEATURES + o
    part = GROUPS * FEATURES * FEATURES
    w_re = over_positions(re, g_re, WIDTH, ROWS, PRECISION) + over_positions(
        im, g_im, WIDTH, ROWS, PRECISION
    )
    tl.store(at, w_re + tl.load(at, mask=inside & more, other=0.0), mask=inside)
    w_im = over_positions(re, g_im, WIDTH, ROWS, PRECISION) - over_positions(
        im, g_re, WIDTH, ROWS, PRECISION
    )
    tl.store(at + part, w_im + tl.load(at + part, mask=inside & more, other=0.0), mask=inside)


@triton.jit
def add_bias(
    out,
    split,
    g_re,
    g_im,
    more,
    group,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Add the sum of g to one split of a bias' gradient, (S, 2, G, I)."""
    o = tl.arange(0, WIDTH)
    at, inside, part = (
        out + (split * 2 * GROUPS + group) * FEATURES + o,
        o < FEATURES,
        GROUPS * FEATURES,
    )
    tl.store(at, tl.sum(g_re, axis=0) + tl.load(at, mask=inside & more, other=0.0), mask=inside)
    tl.store(
        at + part,
        tl.sum(g_im, axis=0) + tl.load(at + part, mask=inside & more, other=0.0),
        mask=inside,
    )


@triton.jit
def activate(x, SILU: tl.constexpr):
    return x * tl.sigmoid(x) if SILU else tl.maximum(x, 0.0)


@triton.jit
def activation_slope(x, SILU: tl.constexpr):
    """Compute act'(x)."""
    if SILU:
        s = tl.sigmoid(x)
        return s * (1.0 + x * (1.0 - s))
    else:
        return tl.where(x > 0.0, 1.0, 0.0)


@triton.jit
def softshrink(x, threshold):
    return tl.where(x > threshold, x - threshold, tl.where(x < -threshold, x + threshold, 0.0))


@triton.jit
def network(
    re,
    im,
    w1,
    b1,
    w2,
    b2,
    group,
    threshold,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    SILU: tl.constexpr,
    MULTIPLY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute equations (1) and (2), float32."""
    kind = w1.dtype.element_ty
    wr, wi = load_weight(w1, group, GROUPS, FEATURES, WIDTH)
    p_re, p_im = affine(
        re.to(kind), im.to(kind), wr, wi, b1, group, GROUPS, FEATURES, WIDTH, PRECISION
    )
    a_re, a_im = activate(p_re, SILU).to(kind), activate(p_im, SILU).to(kind)
    wr, wi = load_weight(w2, group, GROUPS, FEATURES, WIDTH)
    out_re, out_im = affine(
        a_re, a_im, wr, wi, b2, group, GROUPS, FEATURES, WIDTH, PRECISION
    )  # (1)
    if MULTIPLY:
        m_re, m_im = softshrink(out_re, threshold), softshrink(out_im, threshold)
        out_re = m_re * re - m_im * im  # (2)
        out_im = m_re * im + m_im * re
    return out_re, out_im


@triton.jit
def network_backward(
    re,
    im,
    g_re,
    g_im,
    gw1,
    gb1,
    gw2,
    gb2,
    split,
    more,
    w1,
    b1,
    w2,
    b2,
    group,
    threshold,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    SILU: tl.constexpr,
    MULTIPLY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Compute equations (3) to (5): return gX, float32, and add the others to a split.

    Intermediate results are kept in the dtype of the weights, weights are loaded and their
    gradients stored where they are needed: registers limit the tile.
    """
    kind = w1.dtype.element_ty
    x_re, x_im = re.to(kind), im.to(kind)
    wr, wi = load_weight(w1, group, GROUPS, FEATURES, WIDTH)
    p_re, p_im = affine(x_re, x_im, wr, wi, b1, group, GROUPS, FEATURES, WIDTH, PRECISION)
    a_re, a_im = activate(p_re, SILU).to(kind), activate(p_im, SILU).to(kind)
    s_re, s_im = activation_slope(p_re, SILU).to(kind), activation_slope(p_im, SILU).to(kind)
    wr, wi = load_weight(w2, group, GROUPS, FEATURES, WIDTH)
    gx_re, gx_im = tl.zeros_like(p_re), tl.zeros_like(p_im)
    if MULTIPLY:
        q_re, q_im = affine(
            a_re, a_im, wr, wi, b2, group, GROUPS, FEATURES, WIDTH, PRECISION
        )  # (1)
        m_re, m_im = softshrink(q_re, threshold), softshrink(q_im, threshold)
        gx_re, gx_im = m_re * g_re + m_im * g_im, m_re * g_im - m_im * g_re
        gm_re, gm_im = x_re * g_re + x_im * g_im, x_re * g_im - x_im * g_re
        g_re = tl.where(tl.abs(q_re) > threshold, gm_re, 0.0)  # (3)
        g_im = tl.where(tl.abs(q_im) > threshold, gm_im, 0.0)
    add_bias(gb2, split, g_re, g_im, more, group, GROUPS, FEATURES, WIDTH)
    g_re, g_im = g_re.to(kind), g_im.to(kind)
    add_weight(
        gw2, split, a_re, a_im, g_re, g_im, more, group, GROUPS, FEATURES, WIDTH, ROWS, PRECISION
    )
    nothing = tl.zeros_like(p_re)
    ga_re, ga_im = adjoint(g_re, g_im, wr, wi, nothing, nothing, PRECISION)
    gp_re, gp_im = ga_re * s_re, ga_im * s_im  # (4)
    add_bias(gb1, split, gp_re, gp_im, more, group, GROUPS, FEATURES, WIDTH)
    gp_re, gp_im = gp_re.to(kind), gp_im.to(kind)
    add_weight(
        gw1, split, x_re, x_im, gp_re, gp_im, more, group, GROUPS, FEATURES, WIDTH, ROWS, PRECISION
    )
    wr, wi = load_weight(w1, group, GROUPS, FEATURES, WIDTH)
    gx_re, gx_im = adjoint(gp_re, gp_im, wr, wi, gx_re, gx_im, PRECISION)  # (5)
    return gx_re, gx_im


@triton.jit
def forward(
    x_re,
    x_im,
    y_re,
    y_im,
    w1,
    b1,
    w2,
    b2,
    positions,
    threshold,
    xb,
    xg,
    xi,
    xn,
    yb,
    yg,
    yi,
    yn,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    SILU: tl.constexpr,
    MULTIPLY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Process one image's group at a block of positions. xb .. yn: strides of (B, G, I, N)."""
    image, group = tl.program_id(1) // GROUPS, tl.program_id(1) % GROUPS
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK).to(tl.int64)[:, None]
    i = tl.arange(0, WIDTH)[None, :]
    inside = (i < FEATURES) & (n < positions)
    at = image.to(tl.int64) * xb + group * xg + i * xi + n * xn
    re, im = tl.load(x_re + at, mask=inside, other=0.0), tl.load(x_im + at, mask=inside, other=0.0)
    out_re, out_im = network(
        re, im, w1, b1, w2, b2, group, threshold, GROUPS, FEATURES, WIDTH, SILU, MULTIPLY, PRECISION
    )  # (1) (2)
    at = image.to(tl.int64) * yb + group * yg + i * yi + n * yn
    tl.store(y_re + at, out_re.to(re.dtype), mask=inside)
    tl.store(y_im + at, out_im.to(re.dtype), mask=inside)


@triton.jit
def backward(
    x_re,
    x_im,
    g_re,
    g_im,
    gx_re,
    gx_im,
    gw1,
    gb1,
    gw2,
    gb2,
    w1,
    b1,
    w2,
    b2,
    positions,
    blocks,
    threshold,
    xb,
    xg,
    xi,
    xn,
    gb,
    gg,
    gi,
    gn,
    SPLITS: tl.constexpr,
    GROUPS: tl.constexpr,
    FEATURES: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    SILU: tl.constexpr,
    MULTIPLY: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Process every SPLITS-th of one group's `blocks` of positions, over all images."""
    split, group = tl.program_id(0) // GROUPS, tl.program_id(0) % GROUPS
    i = tl.arange(0, WIDTH)[None, :]
    blocks_an_image = tl.cdiv(positions, BLOCK)
    for block in range(split, blocks, SPLITS):
        image = (block // blocks_an_image).to(tl.int64)
        n = (block % blocks_an_image) * BLOCK + tl.arange(0, BLOCK).to(tl.int64)[:, None]
        inside = (i < FEATURES) & (n < positions)
        at = image * xb + group * xg + i * xi + n * xn
        of = image * gb + group * gg + i * gi + n * gn
        re, im = (
            tl.load(x_re + at, mask=inside, other=0.0),
            tl.load(x_im + at, mask=inside, other=0.0),
        )
        y_re = tl.load(g_re + of, mask=inside, other=0.0).to(tl.float32)
        y_im = tl.load(g_im + of, mask=inside, other=0.0).to(tl.float32)
        z_re, z_im = network_backward(
            re.to(tl.float32),
            im.to(tl.float32),
            y_re,
            y_im,
            gw1,
            gb1,
            gw2,
            gb2,
            split,
            block > split,
            w1,
            b1,
            w2,
            b2,
            group,
            threshold,
            GROUPS,
            FEATURES,
            WIDTH,
            BLOCK,
            SILU,
            MULTIPLY,
            PRECISION,
        )
        tl.store(gx_re + at, z_re.to(re.dtype), mask=inside)
        tl.store(gx_im + at, z_im.to(re.dtype), mask=inside)
        tl.debug_barrier()  # another thread may read the sums in the next iteration
