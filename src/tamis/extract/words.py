"""Words that shops write for the same few things, in the languages of the web's larger markets."""

from __future__ import annotations

import re
from functools import lru_cache


def listed(text: str) -> tuple[str, ...]:
    """Return the words of a list that is separated by white space."""
    return tuple(text.split())


def phrases(listed: str) -> frozenset[str]:
    """Return the phrases of a list that is separated by `|` or line breaks, in the form of `label_key`."""
    return frozenset(key for part in re.split(r"[|\n]", listed) if (key := label_key(part)))


@lru_cache(maxsize=4096)
def label_key(label: str) -> str:
    """Return `label` in the form in which labels are compared: lower case, without dots, colons and signs."""
    return " ".join(re.sub(r"[.:：#°º*()\"״׳'’\u200e\u200f-]", " ", label.casefold()).split())


def alternation(listed: str) -> str:
    """Return a regular expression for any phrase of a list that is separated by `|` or line breaks."""
    parts = sorted({part.strip() for part in re.split(r"[|\n]", listed)} - {""}, key=len, reverse=True)
    return "|".join(re.escape(part) for part in parts)


def containing(listed: str) -> re.Pattern[str]:
    """Return a pattern that finds any phrase of a list that is separated by `|` or line breaks."""
    return re.compile(alternation(listed), re.IGNORECASE)


SKU_LABELS = phrases("""
sku | sku id | asin | style | style no | style number | style code | style id | item | item no | item number |
item code | item id | item model number | item sku | ebay item number | product code | product id |
product no | product number | product ref | product sku | product reference | catalog number |
catalogue number | catalogue no | cat no | part no | part number | ref | ref no | reference | reference no |
reference number | article no | article number | article id | art | art no | art nr | artnr | artikelnummer |
artikel nr | artikelnr | artikel | artikelcode | bestellnummer | bestell nr | produktnummer | produkt nr |
produkt id | produktcode | numéro de l'article | numéro d'article | numéro de référence | n d'article |
n d article | n de référence | référence | référence produit | référence article | référence interne | réf |
code article | code produit | codice | codice articolo | codice prodotto | cod prodotto | cod art | cod |
numero oggetto ebay | numero oggetto | numero articolo | riferimento | referencia | ref producto | código |
código de producto | código del producto | codigo | código do produto | código producto | número de artículo |
número de referencia | número de artículo de ebay | referência | cód | cod produto | numer katalogowy |
numer produktu | numer artykułu | nr artykułu | nr katalogowy | nr ref | kod produktu | kod towaru | indeks |
symbol | kód | kód produktu | kód tovaru | kód zboží | katalogové číslo | kat číslo | obj číslo |
objednací číslo | číslo produktu | tootekood | kood | artikli nr | tuotekoodi | tuotenumero | prekės kodas |
preces kods | varenummer | varenr | vare nr | produktnr | art nummer | артикул | арт | код товара | код |
код продукта | номер товара | номер объявления | каталожный номер | cikkszám | termékkód | cod produs |
ürün kodu | stok kodu | mã sản phẩm | mã sp | mã hàng | kode produk | รหัสสินค้า | 商品番号 | 商品コード |
品番 | 型番 | 商品编号 | 商品編號 | 商品貨號 | 货号 | 貨號 | 商品id | 상품번호 | 상품코드 | 상품 번호 | 품번 |
מקט | מק ט | מספר פריט | קוד מוצר | קוד פריט | מספר קטלוגי | رمز المنتج | رقم المنتج | رقم الصنف | post id |
posting id | ad id | ad number | anzeigennummer | anzeigen nr | anzeigen id | anzeige nr | inseratnummer |
inserat nr | inserats nr | annonsnummer | listing id | listing no | lot | lot number | lot no | stock no |
stock number | mpn
""")
"""Labels of an article number as the shop itself counts it."""

WEAK_SKU_LABELS = phrases("""
model no | model number | model nr | item model number | modellnummer | numéro de modèle | numero modello |
mpn | part number | manufacturer part number | herstellernummer | número de modelo | referenza produttore |
référence fabricant | lot | lot number | item | code | symbol | cod | kood | код | codice
""")
"""Labels that more often give the maker's number than the shop's."""

BRAND_LABELS = phrases("""
brand | brand name | marke | hersteller | marque | marca | merk | marka | märke | merke | značka | výrobce |
výrobca | producent | manufacturer | fabricant | fabbricante | produttore | fabricante | бренд | марка |
производитель | ブランド | メーカー | 品牌 | 브랜드 | מותג | יצרן | الماركة | العلامة التجارية | márka |
gyártó | tootja | bränd | kaubamärk | thương hiệu | ยี่ห้อ | üretici | make
""")
MODEL_LABELS = phrases(
    "model | model name | modell | modèle | modello | modelo | модель | 型号 | モデル | 모델명 | דגם"
)
GTIN_LABELS = phrases("""
ean | gtin | isbn | upc | barcode | ean code | kod ean | ean13 | ean 13 | isbn 10 | isbn 13 | gtin 13 |
bar code | штрих код | codice ean | código de barras | ean nummer | ean kód
""")

BUY = containing("""
add to cart | add to basket | add to bag | add to trolley | buy now | buy it now | place bid | place your bid |
bid now | in den warenkorb | in den einkaufskorb | in den einkaufswagen | jetzt kaufen | kaufen |
ajouter au panier | acheter | aggiungi al carrello | acquista | compralo subito | añadir al carrito |
añadir a la cesta | agregar al carr | agregar a la bolsa | añadir | comprar | adicionar ao carrinho |
in winkelwagen | in winkelmand | do koszyka | kup teraz | в корзину | купить | lägg i varukorg |
lägg i kundvagn | köp | læg i kurv | tilføj til kurv | legg i handlekurv | lisää ostoskoriin |
vložit do košíku | vložiť do košíka | do košíka | do košíku | kosárba | sepete ekle | adaugă în coș |
カートに入れる | 購入 | 加入購物車 | 立即購買 | 加入购物车 | 立即购买 | 放入購物車 | 장바구니 | 구매 |
הוסף לסל | הוספה לסל | לרכישה | قم بالشراء | أضف إلى | اشتر | lisa korvi | ostukorvi | į krepšelį |
pievienot grozam | contact seller | contact dealer | make an offer | verkäufer kontaktieren |
anbieter kontaktieren | contacter | contatta | call seller | chat
""")

GONE = phrases("""
out of stock | currently out of stock | temporarily out of stock | sold out | sold | item is sold |
unavailable | currently unavailable | this item is currently unavailable | not available |
no longer available | this item is no longer available | bidding ended | bidding has ended |
this listing has ended | listing ended | ended | not in stock | out of stock online | nicht verfügbar |
derzeit nicht verfügbar | zur zeit nicht verfügbar | nicht lieferbar | nicht auf lager | nicht vorrätig |
ausverkauft | vergriffen | leider ausverkauft | rupture de stock | en rupture de stock | épuisé |
indisponible | actuellement indisponible | produit indisponible | esaurito | non disponibile |
attualmente non disponibile | momentaneamente non disponibile | prodotto esaurito | agotado | sin existencias |
sin stock | no disponible | no disponible por el momento | fuera de stock | esgotado | indisponível |
uitverkocht | niet op voorraad | niet beschikbaar | brak w magazynie | niedostępny | produkt niedostępny |
wyprzedany | chwilowo niedostępny | nie je na sklade | nedostupné | nedostupný | vypredané | vyprodáno |
není skladem | momentálně nedostupné | momentálne nedostupné | nie je skladom | produkt je vypredaný |
predaj ukončený | predaj skončil | нет в наличии | нет на складе | распродано | товар закончился |
снят с продажи | slutsåld | slut i lager | tillfälligt slut | udsolgt | utsolgt | loppuunmyyty | välja müüdud |
laost otsas | 在庫切れ | 売り切れ | 品切れ | 完売 | 缺货 | 售完 | 已售完 | 缺貨 | 補貨中 | 품절 | 일시품절 |
판매종료 | אזל מהמלאי | אזל | לא במלאי | غير متوفر | نفذت الكمية | tükendi | stokta yok | elfogyott |
nincs készleten | stoc epuizat | hết hàng
""")

IN_STOCK = phrases("""
in stock | available | available now | in stock online | auf lager | sofort lieferbar | lieferbar | verfügbar |
vorrätig | en stock | disponible | disponibile | disponibilità immediata | subito disponibile |
hay existencias | em estoque | disponível | op voorraad | leverbaar | na stanie | dostępny | w magazynie |
skladem | na sklade | skladom | в наличии | есть в наличии | i lager | på lager | varastossa | laos olemas |
stokta var | raktáron | în stoc | 在庫あり | 有现货 | 現貨 | 有貨 | 재고 있음 | במלאי | متوفر
""")

FORMER_PRICE = """
was | were | before | old | instead of | list price | rrp | msrp | regular | regular price | original |
originally | orig | compare at | statt | uvp | bisher | früher | vorher | au lieu de | avant | prix conseillé |
antes | precio anterior | precio normal | invece di | anziché | prima | listino | prezzo consigliato | van |
adviesprijs | i stedet for | før | ord | tidigare | zamiast | cena regularna | save | you save | spare |
sparen | économisez | ahorra | ahorras | risparmi | précédemment | pôvodná cena | bežná cena
"""

NEXT_PAGE = phrases("""
next | next page | next results | weiter | nächste | nächste seite | suivant | suivante | page suivante |
successiva | successivo | pagina successiva | avanti | siguiente | página siguiente | próxima | próximo |
seguinte | volgende | volgende pagina | następna | następny | dalej | следующая | далее | вперед | nästa |
næste | neste | seuraava | další | ďalšia | ďalší | következő | sonraki | järgmine | 次へ | 下一页 | 下一頁 |
다음 | הבא | التالي | > | >> | » | › | → | next › | next » | next > | next →
""") | {">", ">>", "»", "›", "→", "next ›", "next »", "next >", "next →"}

LOAD_MORE = phrases("""
load more | show more | view more | see more | more results | mehr laden | mehr anzeigen | weitere anzeigen |
weitere ergebnisse | mehr ergebnisse | voir plus | afficher plus | charger plus | plus de résultats | carica altri |
mostra altri | mostra di più | vedi altri | cargar más | ver más | mostrar más | más resultados | carregar mais |
ver mais | mostrar mais | meer laden | meer tonen | toon meer | laad meer | pokaż więcej | wczytaj więcej |
załaduj więcej | показать ещё | показать еще | загрузить ещё | visa fler | visa mer | ladda fler | vis flere |
last inn flere | näytä lisää | lataa lisää | zobrazit další | načíst další | もっと見る | 加载更多 | 더보기
""")

RESULT_NOUNS = """
results | result | items | products | listings | vehicles | cars | ads | offers | matches | treffer |
ergebnisse | angebote | fahrzeuge | artikel | produkte | inserate | résultats | résultat | annonces |
produits | articles | véhicules | risultati | annunci | prodotti | articoli | veicoli | resultados | anuncios |
productos | artículos | coches | anúncios | produtos | resultaten | advertenties | producten | wyników |
ogłoszeń | produktów | ofert | результатов | объявлений | товаров | träffar | annonser | produkter | varer |
resultater | výsledků | výsledkov | produktů | produktov | 件 | 个结果 | 筆 | 個商品 | 개
"""
