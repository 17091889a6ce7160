"""Trees that show less than the model: quantised weights as their dense twin, towers that no input reached.

They are priced only as what they show, and when that was asked for.
"""

from __future__ import annotations

from dataclasses import replace

from irene.errors import BadInput
from irene.model_tree.tree import ModelTree


def require_dense(model: str, quantization: str) -> None:
    """Raise BadInput for a model whose checkpoint stores quantised weights."""
    if quantization:
        raise BadInput(
            f"{model} has quantised weights: {quantization}. The program that runs such ones is not modelled. "
            "--dequantized (in Python dequantized=True) prices its dense twin, and says so."
        )


def as_dense_twin(tree: ModelTree) -> ModelTree:
    """The tree as what it shows, a dense model, with a note of what that leaves out; a dense model's tree as it is.

    >>> from irene.model_tree.tree import Node
    >>> from irene.model_tree.workload import Workload
    >>> as_dense_twin(ModelTree(Node("model", "", "Llama"), "llama", Workload(), quantization="awq (bits 4)")).notes
    ('Dequantized: the dense bfloat16 twin of a checkpoint with quantised weights, awq (bits 4), which are left out.',)
    """
    if tree.stored_as:
        raise BadInput(
            f"{tree.model}: this saved tree shows the program of its quantised weights, {tree.stored_as}. For the "
            "dense twin, give the model's name or config with --dequantized (in Python dequantized=True)."
        )
    if not tree.quantization:
        return tree
    return replace(tree, quantization="", notes=(*tree.notes, twin_note(tree.workload.dtype, tree.quantization)))


def with_note(tree: ModelTree, note: str) -> ModelTree:
    """The tree with one note more; as it is for ''."""
    return replace(tree, notes=(*tree.notes, note)) if note else tree


def twin_note(dtype: str, quantization: str) -> str:
    """What a dense twin leaves out, in a sentence; '' where nothing is quantised."""
    left_out = f"a checkpoint with quantised weights, {quantization}, which are left out."
    return f"Dequantized: the dense {dtype} twin of {left_out}" if quantization else ""


def require_towers(model: str, left_out: str) -> None:
    """Raise BadInput for a model of which a tower was not run, if nobody asked for that."""
    if left_out:
        raise BadInput(
            f"{model} has towers that its text does not reach: {left_out}. irene builds no inputs for them. --images 0 "
            "(in Python images=0) prices the text alone, and says so; or give a torch.nn.Module with example_inputs."
        )


def text_alone(left_out: str) -> str:
    """What a tree without towers leaves out, in a sentence.

    >>> text_alone("vision_tower")
    'The text alone, as asked: vision_tower is left out.'
    """
    return f"The text alone, as asked: {left_out} is left out."
