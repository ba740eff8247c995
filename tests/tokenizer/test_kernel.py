"""Kernels are compiled also where the machine code can't be kept."""

from groundup.tokenizer.kernel import kernel


def test_a_function_without_a_file_is_compiled() -> None:
    namespace: dict = {}
    exec("def double(x): return 2 * x", namespace)  # numba finds no place to keep the code of such a function
    double = kernel(namespace["double"])
    assert double(21) == 42
    assert double.signatures
