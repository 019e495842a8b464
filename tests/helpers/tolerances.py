"""The one table of tolerances."""

LOGITS = 1e-5  # golden outputs, float32 on a CPU, absolute; a wrong epsilon gives 2e-5 to 8e-5
FAMILY_LOGITS = {
    "gfnet": 1e-6,
    "dfformer": 2e-5,
    "cdfformer": 2e-5,
    "gfformer": 2e-5,
    "vheat": 1e-5,
}
FUSED = 2e-5  # the same with batch norms folded
GRADIENT_NORM = 2e-4  # golden gradient norms, relative
SCALAR_GRADIENT = 5e-3  # the same for parameters of one element, relative or
SCALAR_GRADIENT_ABSOLUTE = 1e-3
GRADIENT_FIRST = 5e-3  # first values of a golden gradient, in units of norm / sqrt(numel)
WAVELET = 1e-10  # golden DTCWT in float64, absolute
RECONSTRUCTION = 1e-12  # in float64, absolute
DOUBLE = 1e-10  # twins in float64, absolute
SLOPE = 1e-6  # gradients against central differences in float64, absolute and relative
SINGLE = 1e-5  # twins and forms in float32, absolute, on data of unit variance
HALF = 3e-2  # float16 and bfloat16 results against float32, absolute, on data of unit variance
