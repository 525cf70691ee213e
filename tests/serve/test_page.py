"""The page, used as people use it: in a browser, by mouse and by keys, in both languages, wide and narrow."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image as PILImage
from PIL import ImageDraw
from serving import serving

import onespace.serve
from onespace import Pair
from onespace.encoder import Encoder
from onespace.serve.keys import digest, new_key
from onespace.store import Store, StoreOptions

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested with playwright, which isn't installed"
)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = Path(onespace.serve.__file__).parent / "page"
TEXTS = ("a whale swims in the sea", "the red dragon flies over the snow mountain", "house by the lake")
VIEWS = ("search", "compare", "map")
Open = Callable[..., Any]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


def drawing(colour: str, *, size: tuple[int, int] = (96, 64)) -> bytes:
    picture = PILImage.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((10, 10, 60, 54), fill=colour)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def address(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server with six pictures, a pair and three texts."""
    colours = ("red", "green", "blue", "gold", "black", "purple")
    items = [*(drawing(colour) for colour in colours), Pair("a whale", drawing("navy")), *TEXTS]
    known = [{"kind": "drawing", "year": 2020 + i, "caption": colours[i]} for i in range(6)]
    known += [{"kind": "pair"}, *[{"kind": "note"}] * 3]
    options = StoreOptions(build=False)
    with Store.open(tmp_path_factory.mktemp("page") / "store", tiny_encoder, options=options) as store:
        store.add(items, ids=[f"thing-{i}" for i in range(10)], metadata=known)
        with serving(tiny_encoder, store=store) as client:
            yield str(client.base_url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        yield running.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Open]:
    """Opens the page; at the end nothing may have been asked of another host, and no script may have failed."""
    troubles: list[str] = []
    contexts: list[Any] = []

    def opened(view: str = "search", *, url: str = address, wide: int = 1100, **options: Any) -> Any:
        told = {"locale": "en-US", "reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": wide, "height": 1000}, **told)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda said: troubles.append(said.text) if said.type == "error" and "501" not in said.text else None,
        )
        ours = (url, "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(ours) else troubles.append(asked.url))
        page.goto(url if view == "search" else f"{url}/#{view}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles


def ask(page: Any, text: str) -> None:
    page.fill("#search [name=text]", text)
    page.press("#search [name=text]", "Enter")
    page.wait_for_selector("#hits:not([aria-busy]) .score")


def drop(page: Any, *pictures: bytes) -> None:
    """Drops picture files onto the page, as a browser tells of it."""
    files = [base64.b64encode(picture).decode() for picture in pictures]
    transfer = page.evaluate_handle(
        """(files) => {
          const transfer = new DataTransfer();
          files.forEach((file, i) => {
            const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], `picture-${i}.png`, { type: "image/png" }));
          });
          return transfer;
        }""",
        files,
    )
    for event in ("dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": transfer})


def number(text: str) -> float:
    return float(text.replace("−", "-"))


# -- search ----------------------------------------------------------------------------------------------------------


@needs_browser
def test_a_dropped_picture_is_found_its_ledger_adds_up_and_the_language_changes(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    assert page.inner_text("#found") == "In the store: 10"
    page.get_by_label("Details", exact=True).check()
    drop(page, drawing("blue"))
    page.wait_for_selector("#hits:not([aria-busy]) .score")
    assert page.locator("#search .chosen img").get_attribute("alt") == "Chosen picture: picture-0.png"
    assert "nearest to picture-0.png" in page.inner_text("#found")
    best = page.locator("#hits .card").first
    assert "blue" in best.inner_text()
    assert best.locator(".box").count() == 1, "the place that was found is framed"
    best.click()
    page.wait_for_selector("#ledger .total")
    score = number(page.inner_text("#ledger .total b"))
    assert score == pytest.approx(number(best.locator(".score").inner_text()), abs=6e-4)
    while page.locator("#ledger tbody .link", has_text="more").count():
        page.locator("#ledger tbody .link", has_text="more").first.click()
    parts = page.locator("#ledger tbody tr:not(.heading) td:last-child").all_inner_texts()
    assert len(parts) > 6
    assert sum(map(number, parts)) == pytest.approx(score, abs=1e-4 * len(parts))
    assert page.inner_text("#ledger .right") == f"✓ The {len(parts)} parts add up to the score."
    assert page.locator("#ledger .heat").count() == 1
    page.keyboard.press("Escape")
    page.click("#language")
    page.wait_for_selector("text=用文字、图片，或图文一起搜索")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert "最相近的" in page.inner_text("#found")
    assert "文本" in page.locator("#hits .card", has_text="house by the lake").inner_text()
    page.reload()
    page.wait_for_selector("text=库中共 10 项")


@needs_browser
def test_the_whole_blend_adds_up_too_and_a_wrong_sum_would_be_told(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    ask(page, "a whale by the lake")
    page.locator("#hits .card", has_text="house by the lake").click()
    page.wait_for_selector("#ledger .right")
    groups = page.locator("#ledger .heading td:last-child").all_inner_texts()
    assert sum(map(number, groups)) == pytest.approx(number(page.inner_text(".total b")), abs=3e-4)
    page.click("#ledger >> text=Close")

    def spoilt(route: Any) -> None:
        why = route.fetch().json()
        why["parts"][0]["score"] += 0.01
        route.fulfill(json=why)

    page.route("**/explain", spoilt)
    page.locator("#hits .card", has_text="house by the lake").click()
    page.wait_for_selector("#ledger .wrong")
    assert "don't add up" in page.inner_text("#ledger .wrong")


@needs_browser
def test_pointing_at_a_part_shows_its_place_and_the_heat_map_comes_off(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    page.get_by_label("Details", exact=True).check()
    ask(page, "a red whale")
    page.locator("#hits .card", has=page.locator("img")).first.click()
    page.wait_for_selector("#ledger .link >> text=a place here")
    page.locator("#ledger .link", has_text="a place here").first.hover()
    assert page.locator("#ledger .spot").count() == 1
    page.uncheck("#ledger .switch input")
    assert page.locator("#ledger .heat").evaluate("it => getComputedStyle(it).opacity") == "0"
    page.click("#ledger >> text=More like this")
    page.wait_for_selector("#hits:not([aria-busy]) .score")
    assert page.locator("#search .chosen").is_visible()


@needs_browser
def test_heat_maps_lie_over_every_picture_that_was_found(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    ask(page, "a whale")
    page.check("#heat")
    pictures = page.locator("#hits .frame").count()
    assert pictures == 7
    page.wait_for_selector(f"#hits >> .heat >> nth={pictures - 1}")
    page.uncheck("#heat")
    page.wait_for_selector("#hits:not([aria-busy]) .score")
    assert page.locator("#hits .heat").count() == 0


@needs_browser
def test_a_filter_narrows_and_one_that_cant_be_read_is_told(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    page.fill("#filter", "kind=note")
    page.press("#filter", "Enter")
    page.wait_for_selector("#found >> text=In the store: 3")
    ask(page, "a whale")
    assert page.locator("#hits .card").count() == 3
    page.fill("#filter", "kind=drawing year>=2022 year<2025")
    page.press("#filter", "Enter")
    page.wait_for_selector("#found >> text=The 3 nearest")
    page.fill("#filter", "year > ")
    page.press("#filter", "Enter")
    page.wait_for_selector("#trouble >> text=kind=logo year>=2020")
    assert page.get_attribute("#filter", "aria-invalid") == "true"
    page.fill("#filter", "kind=nothing")
    page.press("#filter", "Enter")
    page.wait_for_selector("#found >> text=Nothing was found")


@needs_browser
def test_the_page_can_be_used_by_keys_alone(visit: Open) -> None:
    page = visit()
    page.wait_for_selector("#hits .card")
    focused = lambda: page.evaluate("document.activeElement.outerHTML")  # noqa: E731
    page.keyboard.press("Tab")
    assert 'class="skip"' in focused()
    for _ in range(7):
        page.keyboard.press("Tab")
        if 'name="text"' in focused():
            break
    page.keyboard.type("a whale")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hits:not([aria-busy]) .score")
    assert page.inner_text("#status").startswith("The 10 nearest")
    for _ in range(12):
        page.keyboard.press("Tab")
        if 'class="card"' in focused():
            break
    card = focused()
    page.keyboard.press("Enter")
    page.wait_for_selector("#ledger .total")
    assert page.evaluate("document.querySelector('#ledger').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert focused() == card, "the focus goes back to where it was"


def test_the_items_that_are_shown_at_first_take_a_filter(address: str) -> None:
    told = httpx.get(f"{address}/items", params={"filter": '{"kind": "note"}', "limit": 2}).json()
    assert (len(told["items"]), told["total"]) == (2, 3)
    for filter in ("{", "[1]", "[" * 1000):
        refused = httpx.get(f"{address}/items", params={"filter": filter})
        assert refused.status_code == 400
        assert "must be a JSON object" in refused.json()["error"]["message"]


# -- compare ---------------------------------------------------------------------------------------------------------


@needs_browser
def test_things_that_are_dropped_in_are_compared_each_with_each(visit: Open) -> None:
    page = visit("compare")
    page.wait_for_selector("text=Two things or more make a matrix.")
    drop(page, drawing("red"), drawing("blue"))
    page.wait_for_selector("#matrix td:has-text('1.00')")
    page.fill("#compare [name=text]", "a whale")
    page.press("#compare [name=text]", "Enter")
    page.wait_for_selector("#matrix tbody tr >> nth=2")
    rows = [row.split() for row in page.locator("#matrix tbody tr").all_inner_texts()]
    values = [[number(value) for value in row[-3:]] for row in rows]
    assert [values[i][i] for i in range(3)] == [1, 1, 1]
    assert values[0][2] == values[2][0]
    said = page.inner_text("#matrix .middle")
    assert f"at {max(values[0][1], values[0][2], values[1][2]):.2f}" in said
    page.select_option("#metric", "euclidean")
    page.wait_for_selector("#matrix td:has-text('0.00')")
    page.click("[aria-label='Remove a whale']")
    page.wait_for_selector("#matrix tbody tr >> nth=2", state="detached")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove picture-1.png"
    page.click("#compare >> text=Clear")
    page.wait_for_selector("text=Two things or more make a matrix.")


# -- map -------------------------------------------------------------------------------------------------------------


@needs_browser
def test_the_map_is_picked_from_by_lasso_and_by_keys(visit: Open) -> None:
    page = visit("map")
    page.wait_for_selector(".point >> nth=9")
    assert page.inner_text("#charted") == "10 things"
    stage = page.locator("#stage").bounding_box()
    middle = stage["x"] + stage["width"] / 2
    boxes = [point.bounding_box() for point in page.locator(".point").all()]
    left = sum(box["x"] + box["width"] / 2 < middle for box in boxes)
    assert 0 < left < 10
    top, bottom = stage["y"] + 10, stage["y"] + stage["height"] - 10
    page.mouse.move(stage["x"] + 10, top)
    page.mouse.down()
    for place in ((middle, top), (middle, bottom), (stage["x"] + 10, bottom)):
        page.mouse.move(*place, steps=4)
    page.mouse.up()
    assert page.inner_text("#picked") == f"{left} picked"
    page.click("#map .deeds >> text=Clear")
    assert page.inner_text("#picked") == "Nothing picked"
    page.focus("#stage")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    chosen = page.locator(".point[aria-selected=true]")
    assert chosen.count() == 1
    assert chosen.get_attribute("id") == page.get_attribute("#stage", "aria-activedescendant")
    for arrow in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(arrow)
        if page.get_attribute("#stage", "aria-activedescendant") != chosen.get_attribute("id"):
            break
    page.keyboard.press(" ")
    assert page.inner_text("#picked") == "2 picked"
    page.keyboard.press("Enter")
    page.wait_for_selector("#ledger[open]")
    page.keyboard.press("Escape")
    page.click("#map .deeds >> text=Compare")
    page.wait_for_selector("#things .chip")
    assert page.locator("#things .chip").count() == 2


@needs_browser
def test_the_map_zooms_moves_and_opens_what_is_clicked(visit: Open) -> None:
    page = visit("map")
    page.wait_for_selector(".point >> nth=9")
    where = lambda: page.locator(".point").first.bounding_box()  # noqa: E731
    before = where()
    page.get_by_label("Move", exact=True).check()
    stage = page.locator("#stage").bounding_box()
    x, y = stage["x"] + 20, stage["y"] + 20
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=3)
    page.mouse.up()
    after = where()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((60, 40), abs=1)
    page.click("[aria-label=Nearer]")
    page.click("text=Whole")
    assert where()["x"] == pytest.approx(before["x"], abs=1)
    point = page.locator(".point").first
    page.evaluate("document.querySelector('.point').style.zIndex = 9")
    point.click()
    page.wait_for_selector("#ledger[open]")


@needs_browser
def test_where_umap_isnt_there_the_map_says_so_and_stays(visit: Open) -> None:
    page = visit("map")
    page.wait_for_selector(".point")
    told = {"error": {"message": "a map by UMAP needs umap-learn."}}
    page.route("**/map?method=umap", lambda route: route.fulfill(status=501, json=told))
    page.get_by_label("UMAP", exact=True).click()
    page.wait_for_selector("#trouble >> text=needs umap-learn")
    assert page.is_checked("[value=pca]")
    assert page.locator(".point").count() == 10


# -- every view ------------------------------------------------------------------------------------------------------


@needs_browser
def test_nothing_is_wider_than_a_phone(visit: Open) -> None:
    page = visit(wide=390, has_touch=True)
    page.wait_for_selector("#hits .card")
    ask(page, "the red dragon")
    page.locator("#hits .card").first.click()
    page.wait_for_selector("#ledger .total")
    assert page.evaluate("document.querySelector('#ledger').scrollWidth") <= 390
    page.locator("#ledger .head button").click()
    for view in VIEWS:
        page.click(f"nav [href='#{view}']")
        page.wait_for_selector(f"#{view}:not([hidden])")
        if view == "compare":
            drop(page, *map(drawing, ("red", "blue", "green", "gold", "black", "white", "grey")))
            page.wait_for_selector("#matrix td")
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, (
                view,
                page.get_attribute("html", "lang"),
            )
            page.click("#language")


@needs_browser
def test_axe_finds_no_barrier(visit: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe isn't installed").Axe()
    barriers: list[str] = []
    page = visit(bypass_csp=True)

    def look(view: str) -> None:
        """In light, and for its contrast in dark."""
        for scheme, options in (("light", None), ("dark", {"runOnly": ["color-contrast"]})):
            page.emulate_media(color_scheme=scheme)
            for told in axe.run(page, options=options).response["violations"]:
                barriers.append(f"{view}, {scheme}: {told['id']}: {told['nodes'][0]['html'][:200]}")

    page.wait_for_selector("#hits .card")
    ask(page, "a whale")
    look("search")
    page.locator("#hits .card").first.click()
    page.wait_for_selector("#ledger .total")
    look("ledger")
    page.keyboard.press("Escape")
    page.click("nav >> text=Compare")
    drop(page, drawing("red"), drawing("blue"))
    page.wait_for_selector("#matrix td")
    look("compare")
    page.click("nav >> text=Map")
    page.wait_for_selector(".point")
    look("map")
    assert not barriers


@needs_browser
def test_a_key_is_asked_for_until_it_is_right(browser: Any, tiny_encoder: Encoder, tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "keys").write_text(f"reader {digest(key)}\n")
    with serving(tiny_encoder, api_keys=str(tmp_path / "keys")) as client:
        page = browser.new_page(locale="en-US")
        page.goto(str(client.base_url))
        page.fill("#key input", "wrong")
        page.click("#key button")
        page.wait_for_selector("#key[open]")
        page.fill("#key input", key)
        page.click("#key button")
        page.wait_for_selector("#model >> text=tiny")
        assert page.url.endswith("#compare"), "without a store there is nothing to search"
        page.click("nav >> text=Search")
        assert "no store" in page.inner_text("#found")
        page.close()


# -- files -----------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def words(language: str) -> dict[str, str]:
    return dict(json.loads((PAGE / f"words.{language}.json").read_text("utf-8")))


def scripts() -> str:
    return "\n".join(path.read_text("utf-8") for path in PAGE.glob("*.js"))


def test_both_languages_say_the_same_things() -> None:
    english, chinese = words("en"), words("zh")
    assert list(english) == list(chinese)
    for name, said in english.items():
        assert sorted(re.findall(r"\{\w+\}", said)) == sorted(re.findall(r"\{\w+\}", chinese[name])), name


def test_everything_that_is_said_has_words_and_all_words_are_said() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    english = words("en")
    named = set(re.findall(r'data-say(?:-label|-title)?="([^"]+)"', html)) | set(
        re.findall(r'say\("([^"]+)"', scripts())
    )
    assert named <= set(english)
    prefixes = tuple(re.findall(r"`([\w.]+\.)\$\{", scripts()))
    quoted = set(re.findall(r'"([\w.]+)"', scripts()))
    assert [name for name in english if name not in named | quoted and not name.startswith(prefixes)] == []


def test_what_stands_in_the_page_is_what_is_said_in_english() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    for name, said in re.findall(r'data-say="([^"]+)"[^>]*>([^<]*)<', html):
        assert said == words("en")[name]


def test_the_page_needs_nothing_inline_and_nothing_from_elsewhere() -> None:
    for tag, attributes in Tags((PAGE / "index.html").read_text("utf-8")).tags:
        assert tag != "style"
        assert tag != "script" or attributes["src"], "a script stands inline"
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        for name in ("href", "src"):
            assert (attributes.get(name) or "page/").startswith(("page/", "#")), attributes
    for path in PAGE.iterdir():
        told = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", told), path.name


def test_every_file_of_the_page_is_used() -> None:
    told = (PAGE / "index.html").read_text("utf-8") + scripts() + (PAGE.parent / "reference.py").read_text("utf-8")
    for path in PAGE.iterdir():
        assert path.name in told or path.name in ("index.html", "words.en.json", "words.zh.json"), path.name
