"""Models as ONNX graphs, for use without torch. Needs the ``[export]`` extra."""

from onespace.export.graphs import Exported, export_onnx

__all__ = ["Exported", "export_onnx"]
