"""Write ONNX graphs node by node, in double precision inside, standard operators only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of the new value."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add one operator with one output."""
        from onnx import helper

        name = self._name(kind.lower())
        self._nodes.append(
            helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def constant(self, value: ArrayLike, dtype: type = np.float64) -> str:
        """Add a constant."""
        from onnx import numpy_helper

        name = self._name("c")
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def output(self, value: str, name: str) -> None:
        """Give a value its public name, as float32."""
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Cast", [value], [name], to=TensorProto.FLOAT))

    def double(self, value: str) -> str:
        """Widen a value to float64."""
        from onnx import TensorProto

        return self.op("Cast", value, to=TensorProto.DOUBLE)

    def serialize(
        self, inputs: dict[str, tuple[str, list[Any]]], output: tuple[str, list[Any]], doc: str
    ) -> bytes:
        """Check the finished model and return its bytes.

        Parameters
        ----------
        inputs : mapping of name to (`float` or `string`, shape)
        output : (name, shape)
            Always float32.
        doc : str
            Description stored in the model.
        """
        import onnx
        from onnx import TensorProto, helper

        types = {"float": TensorProto.FLOAT, "string": TensorProto.STRING}
        graph = helper.make_graph(
            self._nodes,
            "calibrator",
            [
                helper.make_tensor_value_info(name, types[kind], shape)
                for name, (kind, shape) in inputs.items()
            ],
            [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
            initializer=self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", ML_OPSET),
            ],
            ir_version=IR_VERSION,
            producer_name="calibrant",
            doc_string=doc,
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
