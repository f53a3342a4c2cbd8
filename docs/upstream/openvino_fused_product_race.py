"""Wrong results of a fused product in OpenVINO's CPU plugin when two streams meet a new shape together.

    python openvino_fused_product_race.py
    python openvino_fused_product_race.py --emulate-l2 524288
    python openvino_fused_product_race.py --set TBB_PARTITIONER=STATIC --set CPU_RUNTIME_CACHE_CAPACITY=0

Needs OpenVINO and NumPy, and a CPU with AVX-512. ``openvino_fused_product_race.md`` explains the cause. On a
CPU whose L2 cache has 2 MiB for each core both sizes are equal, so that nothing shows; ``--emulate-l2``
then changes the constant for AVX2 in a temporary copy of the plugin to 3/4 of the given bytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

WIDTH, OUTPUTS, LARGEST = 384, 1536, 1100
# In oneDNN's `init_jcp`: mov $0x180000, %eax, three quarters of 2 MiB, just before the size is stored.
CONSTANT = bytes.fromhex("b800001800488bb5")


def emulate(bytes_of_l2: int) -> int:
    """Run this program again on a copy of the installed package with another constant."""
    import openvino

    package = Path(openvino.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "openvino"
        shutil.copytree(package, copy)
        plugin = copy / "libs" / "libopenvino_intel_cpu_plugin.so"
        code = plugin.read_bytes()
        if code.count(CONSTANT) != 1:
            print(f"OpenVINO {openvino.__version__}: the constant was found {code.count(CONSTANT)} times")
            return 2
        size = (bytes_of_l2 * 3 // 4).to_bytes(4, "little")
        plugin.write_bytes(code.replace(CONSTANT, CONSTANT[:1] + size + CONSTANT[5:]))
        arguments = [argument for argument in sys.argv if not argument.startswith("--emulate-l2")]
        arguments = [argument for argument in arguments if argument != str(bytes_of_l2)]
        environment = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run([sys.executable, *arguments], env=environment, check=False).returncode


def main() -> int:
    """Send every shape to two requests at once and compare with NumPy; return 1 if a result is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--emulate-l2", type=int, metavar="BYTES")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a property of the plugin"
    )
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--step", type=int, default=2, help="between the numbers of rows that are tried")
    options = parser.parse_args()
    if options.emulate_l2:
        return emulate(options.emulate_l2)

    import openvino as ov
    from openvino import opset13 as op

    generator = np.random.default_rng(0)
    weights = generator.standard_normal((OUTPUTS, WIDTH), dtype=np.float32) * np.float32(WIDTH**-0.5)
    bias = generator.standard_normal((1, OUTPUTS), dtype=np.float32)
    rows = generator.standard_normal((LARGEST, WIDTH), dtype=np.float32)
    expected = np.maximum(rows @ weights.T + bias, 0)

    x = op.parameter([-1, WIDTH], np.float32)
    y = op.relu(op.add(op.matmul(x, op.constant(weights), False, True), op.constant(bias)))
    settings = {"NUM_STREAMS": options.streams, "INFERENCE_NUM_THREADS": options.streams}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    settings |= dict(pair.split("=", 1) for pair in options.set)
    compiled = ov.Core().compile_model(ov.Model([op.result(y)], [x]), "CPU", settings)
    requests = [compiled.create_infer_request() for _ in range(options.streams)]

    shapes, wrong = range(100, LARGEST, options.step), []
    for count in shapes:
        for request in requests:
            request.start_async({0: rows[:count]})
        for request in requests:
            request.wait()
        results = [request.get_output_tensor(0).data for request in requests]
        if any(np.abs(result - expected[:count]).max() > 1e-3 for result in results):
            wrong.append(count)
    print(f"OpenVINO {ov.__version__}: {len(wrong)} of {len(shapes)} shapes wrong {wrong[:10]}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
