"""Phrases that a drawing is asked for with: our own, written so that a bare CLDR name fits in.

Each table is {locale: [template]}, a template has one "{}". `TEMPLATES` suits every concept,
`ANIMALS` suits concepts with the English keyword "animal" (Chinese and its neighbours count them).
Languages with cases put the name after a colon or a dash, where it keeps its form.
"""

from __future__ import annotations

TEMPLATES: dict[str, list[str]] = {
    "en": [
        "{}",
        "a {}",
        "a drawing of {}",
        "a drawing of a {}",
        "a picture of {}",
        "a picture of a {}",
        "a photo of a {}",
        "a painting of a {}",
        "a sketch of a {}",
        "an image of {}",
        "an icon of a {}",
        "{} icon",
        "an emoji of a {}",
        "{} emoji",
        "a sign with a {}",
        "a sticker of a {}",
        "a symbol of {}",
        "{} logo",
        "logo of a {}",
        "the logo of {}",
        "the {} logo",
        "a logo with a {}",
        "an emblem with a {}",
        "the emblem of {}",
        "the logo of an organization with a {}",
        "the logo of a community with a {}",
        "an open source project with a {} as its logo",
        "the logo of an open source community with a {}",
        "a black and white drawing of a {}",
        "a line drawing of a {}",
        "a colourful drawing of a {}",
        "a simple picture of a {}",
        "a cartoon {}",
    ],
    "zh": [
        "{}",
        "一个{}",
        "一张{}的图片",
        "一张{}的照片",
        "一幅{}的画",
        "{}的图片",
        "{}图标",
        "{}的图标",
        "{}的标志",
        "{}标志",
        "画着{}的标志",
        "带有{}的徽标",
        "{}表情符号",
        "卡通{}",
        "{}的简笔画",
        "一个组织的标志，上面有{}",
        "开源社区的标志：{}",
        "以{}为标志的开源项目",
    ],
    "zh-Hant": [
        "{}",
        "一個{}",
        "一張{}的圖片",
        "一張{}的照片",
        "一幅{}的畫",
        "{}的圖片",
        "{}圖示",
        "{}的標誌",
        "{}標誌",
        "卡通{}",
        "畫著{}的標誌",
        "開源社群的標誌：{}",
    ],
    "yue": ["{}", "一個{}", "一張{}嘅圖片", "一幅{}嘅畫", "{}嘅標誌", "{}圖示"],
    "ja": [
        "{}",
        "{}の絵",
        "{}の写真",
        "{}の画像",
        "{}のイラスト",
        "{}のアイコン",
        "{}のロゴ",
        "{}のマーク",
        "{}の絵文字",
        "{}が描かれたロゴ",
        "オープンソースコミュニティのロゴ：{}",
    ],
    "ko": [
        "{}",
        "{} 그림",
        "{} 사진",
        "{} 이미지",
        "{} 아이콘",
        "{} 로고",
        "{} 이모티콘",
        "{} 모양의 로고",
        "{} 한 개",
    ],
    "es": [
        "{}",
        "un dibujo de {}",
        "una imagen de {}",
        "una foto de {}",
        "un icono de {}",
        "el logotipo de {}",
        "logotipo con {}",
        "un emoji de {}",
        "un símbolo de {}",
        "el emblema de una comunidad: {}",
    ],
    "fr": [
        "{}",
        "un dessin : {}",
        "une image de {}",
        "une photo de {}",
        "une icône : {}",
        "le logo : {}",
        "logo avec {}",
        "un symbole : {}",
        "l’emblème d’une communauté : {}",
    ],
    "de": [
        "{}",
        "eine Zeichnung: {}",
        "ein Bild von {}",
        "ein Foto von {}",
        "Symbol: {}",
        "Logo mit {}",
        "das Logo: {}",
        "Emoji: {}",
        "das Zeichen einer Gemeinschaft: {}",
    ],
    "pt": [
        "{}",
        "um desenho de {}",
        "uma imagem de {}",
        "uma foto de {}",
        "um ícone de {}",
        "o logotipo de {}",
        "logotipo com {}",
        "um símbolo de {}",
    ],
    "it": [
        "{}",
        "un disegno: {}",
        "un’immagine di {}",
        "una foto di {}",
        "un’icona: {}",
        "il logo: {}",
        "logo con {}",
        "un simbolo: {}",
    ],
    "nl": [
        "{}",
        "een tekening van {}",
        "een afbeelding van {}",
        "een foto van {}",
        "een icoon van {}",
        "het logo van {}",
        "logo met {}",
    ],
    "sv": ["{}", "en teckning av {}", "en bild av {}", "ett foto av {}", "en ikon: {}", "en logotyp med {}"],
    "da": ["{}", "en tegning af {}", "et billede af {}", "et foto af {}", "et ikon: {}", "et logo med {}"],
    "no": ["{}", "en tegning av {}", "et bilde av {}", "et foto av {}", "et ikon: {}", "en logo med {}"],
    "pl": ["{}", "rysunek: {}", "obraz: {}", "zdjęcie: {}", "ikona: {}", "logo: {}", "symbol: {}"],
    "cs": ["{}", "kresba: {}", "obrázek: {}", "fotografie: {}", "ikona: {}", "logo: {}"],
    "ru": [
        "{}",
        "рисунок: {}",
        "картинка: {}",
        "изображение: {}",
        "фотография: {}",
        "значок: {}",
        "логотип: {}",
        "эмблема: {}",
    ],
    "uk": ["{}", "малюнок: {}", "картинка: {}", "зображення: {}", "фотографія: {}", "значок: {}", "логотип: {}"],
    "tr": ["{}", "{} çizimi", "{} resmi", "{} fotoğrafı", "{} simgesi", "{} logosu", "{} emojisi"],
    "fi": ["{}", "piirros: {}", "kuva: {}", "valokuva: {}", "kuvake: {}", "logo: {}"],
    "hu": ["{}", "rajz: {}", "kép: {}", "fénykép: {}", "ikon: {}", "logó: {}"],
    "el": ["{}", "ένα σχέδιο: {}", "εικόνα: {}", "φωτογραφία: {}", "εικονίδιο: {}", "λογότυπο: {}"],
    "ar": ["{}", "رسم: {}", "صورة: {}", "رمز: {}", "أيقونة: {}", "شعار: {}", "شعار المنظمة: {}"],
    "fa": ["{}", "نقاشی: {}", "تصویر: {}", "عکس: {}", "نماد: {}", "لوگو: {}"],
    "he": ["{}", "ציור של {}", "תמונה של {}", "צילום של {}", "סמל של {}", "לוגו של {}"],
    "hi": ["{}", "{} का चित्र", "{} की तस्वीर", "{} का आइकन", "{} का लोगो", "{} का चिह्न"],
    "bn": ["{}", "{} এর ছবি", "{} এর চিত্র", "{} এর লোগো", "{} এর আইকন"],
    "id": ["{}", "gambar {}", "foto {}", "ikon {}", "logo {}", "lambang {}", "simbol {}"],
    "vi": ["{}", "hình vẽ {}", "hình ảnh {}", "ảnh {}", "biểu tượng {}", "logo {}", "một bức tranh về {}"],
    "th": ["{}", "ภาพวาด{}", "รูปภาพ{}", "ภาพถ่าย{}", "ไอคอน{}", "โลโก้{}", "สัญลักษณ์{}"],
    "sw": ["{}", "mchoro wa {}", "picha ya {}", "alama ya {}", "nembo ya {}", "ikoni ya {}"],
}

ANIMALS: dict[str, list[str]] = {
    "en": ["a {} in the sea", "a wild {}", "a cute little {}", "one {}", "an animal: {}", "the mascot is a {}"],
    "zh": ["一只{}", "一条{}", "一头{}", "一只可爱的{}", "一条{}的标志", "一只{}的图片"],
    "zh-Hant": ["一隻{}", "一條{}", "一頭{}", "一隻可愛的{}"],
    "yue": ["一隻{}", "一條{}", "一隻可愛嘅{}"],
    "ja": ["一匹の{}", "かわいい{}", "{}という動物"],
    "ko": ["{} 한 마리", "귀여운 {}"],
}

VOWELS = "aeiouAEIOU"


def fill(template: str, name: str) -> str:
    """The template with the name in it; English "a" becomes "an" before a vowel.

    >>> fill("a picture of a {}", "apple"), fill("一只{}", "鲸鱼")
    ('a picture of an apple', '一只鲸鱼')
    """
    if name[:1] in VOWELS and (template.startswith("a {}") or " a {}" in template):
        template = template.replace("a {}", "an {}")
    return template.replace("{}", name)


def phrases() -> dict[str, list[str]]:
    """{locale: the words of its templates, without the name}; the tokenizer learns from them."""
    return {
        locale: [
            " ".join(template.replace("{}", " ").split())
            for template in TEMPLATES[locale] + ANIMALS.get(locale, [])
            if template != "{}"
        ]
        for locale in TEMPLATES
    }
