"""Each wire format gives the vectors that the library gives, and its errors in its own words."""

from __future__ import annotations

import base64
from dataclasses import replace

import httpx
import numpy as np
import pytest
from serving import bare, serving, uri
from tiny_model import tiny_fused, tiny_spec

from onespace.encoder import Encoder
from onespace.score import similarity
from onespace.types import Pair

TEXTS = ["a whale swims in the sea", "house by the lake"]
LONG = " ".join(["sea whale"] * 60)


def post(client: httpx.Client, path: str, body: object, *, status: int = 200) -> dict:
    reply = client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


# -- OpenAI and Jina -------------------------------------------------------------------------------------------------


def test_openai_texts_as_numbers_and_as_base64(client, tiny_encoder):
    dense = tiny_encoder.encode(TEXTS).dense
    told = post(client, "/v1/embeddings", {"input": TEXTS, "model": "tiny"})
    assert told["object"] == "list"
    assert told["model"] == "tiny"
    assert [one["index"] for one in told["data"]] == [0, 1]
    np.testing.assert_allclose([one["embedding"] for one in told["data"]], dense, atol=1e-6)
    coded = post(client, "/v1/embeddings", {"input": TEXTS[0], "encoding_format": "base64"})["data"][0]["embedding"]
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(coded), "<f4"), np.float32(told["data"][0]["embedding"])
    )


def test_openai_usage_counts_tokens_pixels_and_what_was_cut(client, tiny_encoder, pictures):
    usage = post(client, "/v1/embeddings", {"input": [LONG, {"image": uri(pictures[0])}]})["usage"]
    receipts = tiny_encoder.encode([LONG, pictures[0]], on_loss="ignore").receipts
    assert usage["prompt_tokens"] == usage["total_tokens"] == 40
    assert usage["truncated_tokens"] == receipts[0].tokens_dropped > 0
    assert usage["image_pixels"] == pictures[0].width * pictures[0].height
    refused = post(client, "/v1/embeddings", {"input": [LONG], "truncate": False}, status=400)
    assert "item 0" in refused["error"]["message"]


def test_openai_token_ids_are_the_models_own(client, tiny_encoder):
    ids = tiny_encoder.tokenizer.encode(TEXTS[0]).ids
    one, listed = (post(client, "/v1/embeddings", {"input": form})["data"] for form in (ids, [ids, ids]))
    np.testing.assert_allclose(one[0]["embedding"], tiny_encoder.encode(TEXTS[0]).dense[0], atol=1e-6)
    assert len(listed) == 2
    assert "vocabulary" in post(client, "/v1/embeddings", {"input": [10**6]}, status=400)["error"]["message"]


def test_openai_dimensions_are_refused_where_the_model_was_not_trained_for_them(client, pictures):
    error = post(client, "/v1/embeddings", {"input": "a", "dimensions": 8}, status=400)["error"]
    assert error["param"] == "dimensions"
    assert error["code"] == "unsupported_dimensions"
    assert error["type"] == "invalid_request_error"
    with serving(tiny_fused(tiny_spec(truncatable=(8,)))) as other:
        (row,) = (one["embedding"] for one in post(other, "/v1/embeddings", {"input": "a", "dimensions": 8})["data"])
    assert len(row) == 8
    assert np.linalg.norm(row) == pytest.approx(1)


def test_openai_names_of_the_model(client):
    assert post(client, "/v1/embeddings", {"input": "a", "model": "text-embedding-3-small"})["model"]
    assert (
        post(client, "/v1/embeddings", {"input": "a", "model": "gpt-9"}, status=404)["error"]["code"]
        == "model_not_found"
    )
    assert {one["id"] for one in client.get("/v1/models").json()["data"]} == {"tiny", "text-embedding-3-small"}


def test_openai_messages_are_one_item(client, tiny_encoder, pictures):
    parts = [{"type": "image_url", "image_url": {"url": uri(pictures[0])}}, {"type": "text", "text": "a whale"}]
    told = post(client, "/v1/embeddings", {"messages": [{"role": "user", "content": parts}]})
    want = tiny_encoder.encode([Pair("a whale", pictures[0])]).dense[0]
    np.testing.assert_allclose(told["data"][0]["embedding"], want, atol=1e-5)
    lacking = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    assert "image_url" in post(client, "/v1/embeddings", lacking, status=400)["error"]["message"]


def test_jina_items_multivectors_and_binary(client, tiny_encoder, pictures):
    items = [{"text": "sea"}, {"image": bare(pictures[1])}, {"text": "sea", "image": uri(pictures[1], "JPEG")}, "sea"]
    told = post(client, "/v1/embeddings", {"input": items, "task": "retrieval.passage"})["data"]
    want = tiny_encoder.encode(["sea", pictures[1]]).dense
    np.testing.assert_allclose([one["embedding"] for one in told[:2]], want, atol=1e-5)
    np.testing.assert_allclose(told[3]["embedding"], told[0]["embedding"], atol=1e-5)
    assert not np.allclose(told[2]["embedding"], told[0]["embedding"], atol=1e-3)
    (many,) = post(client, "/v1/embeddings", {"input": ["sea"], "return_multivector": True})["data"]
    np.testing.assert_allclose(many["embeddings"], tiny_encoder.encode(["sea"]).multi[0], atol=1e-6)
    assert "embedding" not in many
    packed = post(client, "/v1/embeddings", {"input": ["sea"], "embedding_type": "ubinary"})["data"][0]["embedding"]
    assert packed == np.packbits(want[0] >= 0).tolist()
    late = post(client, "/v1/embeddings", {"input": ["sea"], "late_chunking": True}, status=400)
    assert late["error"]["param"] == "late_chunking"


@pytest.mark.parametrize(
    "body", [{}, {"input": []}, {"input": [{}]}, {"input": 5}, {"input": [None]}, {"input": [{"x": 1}]}]
)
def test_openai_bodies_without_an_item(client, body):
    assert set(post(client, "/v1/embeddings", body, status=400)["error"]) == {"message", "type", "param", "code"}


# -- Cohere ----------------------------------------------------------------------------------------------------------


def test_cohere_texts_images_and_inputs(client, tiny_encoder, pictures):
    by_type = {"embedding_types": ["float", "int8", "uint8", "binary", "ubinary", "base64"]}
    told = post(client, "/v2/embed", {"texts": TEXTS, "input_type": "search_document", "model": "tiny"} | by_type)
    dense = tiny_encoder.encode(TEXTS).dense
    np.testing.assert_allclose(told["embeddings"]["float"], dense, atol=1e-6)
    int8 = np.array(told["embeddings"]["int8"])
    assert np.abs(int8).max() == 127
    assert (np.array(told["embeddings"]["uint8"]) == int8 + 128).all()
    assert (np.array(told["embeddings"]["binary"]) == np.array(told["embeddings"]["ubinary"]) - 128).all()
    assert told["texts"] == TEXTS
    assert told["response_type"] == "embeddings_by_type"
    assert told["meta"]["billed_units"]["input_tokens"] > 0
    seen = post(client, "/v2/embed", {"images": [uri(pictures[0])], "input_type": "image"})
    np.testing.assert_allclose(seen["embeddings"]["float"], tiny_encoder.encode([pictures[0]]).dense, atol=1e-5)
    content = [{"type": "text", "text": "sea"}, {"type": "image_url", "image_url": {"url": uri(pictures[0])}}]
    both = post(client, "/v2/embed", {"inputs": [{"content": content}]})["embeddings"]["float"]
    np.testing.assert_allclose(both, tiny_encoder.encode([Pair("sea", pictures[0])]).dense, atol=1e-5)


def test_cohere_cuts_at_either_end_or_not_at_all(client, tiny_encoder):
    text = "dragon " * 20 + LONG
    end, start = (post(client, "/v2/embed", {"texts": [text], "truncate": way}) for way in ("END", "START"))
    assert end["meta"]["usage"]["truncated_tokens"] == start["meta"]["usage"]["truncated_tokens"] > 0
    np.testing.assert_allclose(
        end["embeddings"]["float"], tiny_encoder.encode([text], on_loss="ignore").dense, atol=1e-6
    )
    kept = tiny_encoder.encode([" ".join(["sea whale"] * 19)], on_loss="error").dense
    np.testing.assert_allclose(start["embeddings"]["float"], kept, atol=1e-6)
    assert "item 0" in post(client, "/v2/embed", {"texts": [text], "truncate": "NONE"}, status=400)["message"]


@pytest.mark.parametrize("body", [{}, {"texts": []}, {"texts": ["a"], "images": ["b"]}, {"texts": [1]}])
def test_cohere_errors_are_messages(client, body):
    assert set(post(client, "/v2/embed", body, status=400)) == {"message"}


def test_cohere_rerank(client, tiny_encoder):
    told = post(client, "/v2/rerank", {"query": "sea", "documents": ["house", "sea sea", "lake"], "top_n": 2})
    query, documents = tiny_encoder.encode("sea", role="query"), tiny_encoder.encode(["house", "sea sea", "lake"])
    scores = similarity(query, documents, metric="blend")[0]
    assert [one["index"] for one in told["results"]] == np.argsort(-scores)[:2].tolist()
    assert told["results"][0]["relevance_score"] == pytest.approx(1 / (1 + np.exp(-scores.max())), abs=1e-5)


# -- Voyage ----------------------------------------------------------------------------------------------------------


def test_voyage_inputs(client, tiny_encoder, pictures):
    both = [{"type": "text", "text": "sea"}, {"type": "image_base64", "image_base64": uri(pictures[2])}]
    body = {"inputs": [{"content": both}, {"content": both[:1]}], "model": "tiny", "input_type": "document"}
    told = post(client, "/v1/multimodalembeddings", body)
    want = tiny_encoder.encode([Pair("sea", pictures[2]), "sea"]).dense
    np.testing.assert_allclose([one["embedding"] for one in told["data"]], want, atol=1e-5)
    usage, pixels = told["usage"], pictures[2].width * pictures[2].height
    assert usage["image_pixels"] == pixels
    assert usage["total_tokens"] == usage["text_tokens"] + pixels // 560
    coded = post(client, "/v1/multimodalembeddings", body | {"output_encoding": "base64"})["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(coded), "<f4"), want[0], atol=1e-5)


def test_voyage_errors_are_details(client):
    lacking = {"inputs": [{"content": [{"type": "image_url"}]}]}
    assert "image_url" in post(client, "/v1/multimodalembeddings", lacking, status=400)["detail"]
    remote = {"inputs": [{"content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]}]}
    assert "remote" in post(client, "/v1/multimodalembeddings", remote, status=400)["detail"]
    long = {"inputs": [{"content": [{"type": "text", "text": LONG}]}], "truncation": False}
    assert "tokens" in post(client, "/v1/multimodalembeddings", long, status=400)["detail"]


# -- TEI -------------------------------------------------------------------------------------------------------------


def test_tei_three_heads(client, tiny_encoder):
    e = tiny_encoder.encode(TEXTS)
    np.testing.assert_allclose(client.post("/embed", json={"inputs": TEXTS}).json(), e.dense, atol=1e-6)
    sparse = client.post("/embed_sparse", json={"inputs": TEXTS}).json()
    assert [{one["index"]: pytest.approx(one["value"]) for one in row} for row in sparse] == e.sparse.to_dicts()
    multi = client.post("/embed_all", json={"inputs": TEXTS}).json()
    assert [len(rows) for rows in multi] == e.multi.counts.tolist()
    np.testing.assert_allclose(multi[1], e.multi[1], atol=1e-6)


def test_tei_rerank_raw_and_logistic(client):
    body = {"query": "sea", "texts": ["house", "sea sea"], "return_text": True}
    raw = client.post("/rerank", json=body | {"raw_scores": True}).json()
    logistic = client.post("/rerank", json=body).json()
    assert [one["index"] for one in raw] == [one["index"] for one in logistic]
    assert logistic[0]["score"] == pytest.approx(1 / (1 + np.exp(-raw[0]["score"])))
    assert logistic[0]["text"] == body["texts"][logistic[0]["index"]]


def test_tei_errors_and_what_is_not_offered(client, tiny_encoder):
    for path, body in (
        ("/embed", {"inputs": []}),
        ("/embed", {"inputs": "a", "normalize": False}),
        ("/embed", {"inputs": LONG, "truncate": False}),
        ("/rerank", {"query": "a", "texts": []}),
    ):
        assert post(client, path, body, status=422)["error_type"] == "Validation"
    dense_only = tiny_spec(heads=replace(tiny_spec().heads, sparse="none", multi=0), trained=("text/dense",))
    with serving(tiny_fused(dense_only)) as other:
        assert post(other, "/embed_sparse", {"inputs": "a"}, status=424)["error_type"] == "Backend"


def test_info_tells_limits_and_capabilities(client):
    told = client.get("/info").json()
    assert told["model_id"] == told["model"] == "tiny"
    assert told["max_input_length"] == 40
    assert told["heads"] == ["dense", "sparse", "multi"]
    assert told["capabilities"]["levels"]["pair"]["multi"] == "trained"
    assert told["store"] is None


# -- our own ---------------------------------------------------------------------------------------------------------


def test_own_three_heads_and_receipts(client, tiny_encoder: Encoder, pictures):
    items = ["sea", {"image": uri(pictures[0])}, {"text": "sea", "image": [uri(pictures[0]), uri(pictures[1])]}]
    told = post(client, "/encode", {"items": items})
    e = tiny_encoder.encode(["sea", pictures[0], Pair("sea", [pictures[0], pictures[1]])])
    for i, one in enumerate(told["items"]):
        np.testing.assert_allclose(one["dense"], e.dense[i], atol=1e-5)
        np.testing.assert_allclose(one["multi"], e.multi[i], atol=1e-5)
        assert one["sparse"]["indices"] == e.sparse.row(i)[0].tolist()
        assert one["receipt"]["tokens_used"] == e.receipts[i].tokens_used
    assert len(told["items"][2]["receipt"]["pictures"]) == 2
    assert told["items"][0]["boxes"][0] is None
    assert told["items"][1]["boxes"][0] == pytest.approx(e.multi.boxes(1)[0].tolist(), abs=1e-3)
    (one,) = post(client, "/encode", {"items": ["sea"], "heads": ["sparse"]})["items"]
    assert set(one) == {"sparse", "receipt"}


def test_own_compare(client, tiny_encoder, pictures):
    told = post(client, "/compare", {"items": ["sea", {"image": uri(pictures[0])}], "metric": "blend"})
    e = tiny_encoder.encode(["sea", pictures[0]])
    np.testing.assert_allclose(told["matrix"], similarity(e, e, metric="blend"), atol=1e-5)
    assert told["labels"] == ["sea", "picture 2"]


def test_own_refuses_names_that_it_does_not_know(client):
    assert "iamge" in post(client, "/encode", {"items": [{"iamge": "x"}]}, status=422)["error"]["message"]
    assert post(client, "/search", {"text": "sea"}, status=404)["error"]["code"] == "no_store"
