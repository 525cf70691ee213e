"""Attention in exported graphs: onnxruntime's own operator in place of the textbook's steps.

Written out, attention over 8192 tokens holds several matrices of 8192 x 8192 a head. The operator goes through them in
tiles (Dao et al. 2022, FlashAttention), but only where no token is masked. So each attention with a mask becomes a
choice that is made when it runs: a batch without padding takes the tiled way, any other the masked one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

DOMAIN = "com.microsoft"
NAME = "MultiHeadAttention"


def translation() -> dict[Any, Callable[..., Any]]:
    """What the tracer writes for torch's scaled dot product attention."""
    import torch
    from onnxscript import opset18
    from onnxscript.values import Opset

    _register()
    op: Any = opset18
    own = Opset(DOMAIN, 1)

    def attention(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,  # noqa: ARG001  # torch's own signature
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,  # noqa: ARG001
    ) -> Any:
        """(N, h, T, d) each, mask (N, 1, 1, T) or (N, 1, T, T) bool -> (N, h, T, d)."""
        heads, width = query.shape[1], query.shape[3]
        merged = op.Constant(value_ints=[0, 0, -1])
        q, k, v = (op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), merged) for x in (query, key, value))  # (N, T, D)
        padding = bias = None
        if attn_mask is not None and attn_mask.shape[1] == attn_mask.shape[2] == 1:
            flat = op.Squeeze(attn_mask, op.Constant(value_ints=[1, 2]))
            padding = op.Cast(flat, to=6)  # (N, T) int32
        elif attn_mask is not None:
            shown, hidden = op.Constant(value_float=0.0), op.Constant(value_float=-1e9)
            bias = op.Where(attn_mask, shown, hidden)  # (N, 1, T, T)
        y = own.MultiHeadAttention(
            q, k, v, None, padding, bias,
            num_heads=heads, scale=scale or width**-0.5, unidirectional=int(is_causal), mask_filter_value=-1e9,
        )  # fmt: skip
        split = op.Reshape(y, op.Constant(value_ints=[0, 0, heads, width]))
        return op.Transpose(split, perm=[0, 2, 1, 3])

    return {torch.ops.aten.scaled_dot_product_attention.default: attention}


def _register() -> None:
    """Tells the onnx package of the operator's shape; onnxruntime knows it by itself."""
    from onnx import defs

    if defs.has(NAME, DOMAIN):
        return
    schema = defs.OpSchema
    optional = schema.FormalParameterOption.Optional
    kinds = {"key": "T", "value": "T", "bias": "T", "key_padding_mask": "M", "attention_bias": "T"}
    rest = [schema.FormalParameter(name, kind, param_option=optional) for name, kind in kinds.items()]
    number, whole = schema.AttrType.FLOAT, schema.AttrType.INT
    attributes = {"num_heads": whole, "unidirectional": whole, "scale": number, "mask_filter_value": number}
    defs.register_schema(
        schema(
            NAME,
            DOMAIN,
            1,
            inputs=[schema.FormalParameter("query", "T"), *rest],
            outputs=[schema.FormalParameter("output", "T")],
            type_constraints=[("T", ["tensor(float)"], ""), ("M", ["tensor(int32)"], "")],
            attributes=[schema.Attribute(name, kind, required=False) for name, kind in attributes.items()],
        )
    )


def choose(graph: onnx.GraphProto) -> None:
    """Puts both ways behind each attention that has a padding mask."""
    from onnx import TensorProto, helper

    nodes: list[onnx.NodeProto] = []
    whole: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != NAME or len(node.input) < 5 or not node.input[4]:
            nodes.append(node)
            continue
        padding, out = node.input[4], node.output[0]
        if padding not in whole:
            whole[padding] = f"{padding}.whole"
            nodes.append(helper.make_node("ReduceMin", [padding], [f"{padding}.least"], keepdims=0))
            nodes.append(helper.make_node("Cast", [f"{padding}.least"], [whole[padding]], to=TensorProto.BOOL))
        ways = {}
        for name, inputs in (("then_branch", list(node.input)[:3]), ("else_branch", list(node.input))):
            way = helper.make_node(NAME, inputs, [f"{out}.{name}"], domain=DOMAIN)
            way.attribute.extend(node.attribute)
            value = helper.make_tensor_value_info(f"{out}.{name}", TensorProto.FLOAT, None)
            ways[name] = helper.make_graph([way], f"{out}.{name}", [], [value])
        nodes.append(helper.make_node("If", [whole[padding]], [out], **ways))
    del graph.node[:]
    graph.node.extend(nodes)
