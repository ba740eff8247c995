"""Codes of languages: from those of three letters (ISO 639-3) to those of two (ISO 639-1), where there are such."""

_PAIRS = """
aar:aa abk:ab afr:af aka:ak amh:am ara:ar arg:an asm:as ava:av ave:ae aym:ay aze:az bak:ba bam:bm bel:be ben:bn
bis:bi bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv cor:kw cos:co cre:cr cym:cy dan:da
deu:de div:dv dzo:dz ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff
gla:gd gle:ga glg:gl glv:gv grn:gn guj:gu hat:ht hau:ha hbs:sh heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy
ibo:ig ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka
kau:kr kaz:kk khm:km kik:ki kin:rw kir:ky kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln
lit:lt ltz:lb lub:lu lug:lg mah:mh mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms mya:my nau:na nav:nv
nbl:nr nde:nd ndo:ng nep:ne nld:nl nno:nn nob:nb nor:no nya:ny oci:oc oji:oj ori:or orm:om oss:os pan:pa pli:pi
pol:pl por:pt pus:ps que:qu roh:rm ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn
snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg
tgl:tl tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo
wln:wa wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
"""
# Single languages that GlotLID names where ISO 639-1 names the group that they are the most common of.
_MEMBERS = """
als:sq arb:ar azj:az cmn:zh ekk:et gug:gn khk:mn kmr:ku lvs:lv nob:no npi:ne ory:or pbt:ps pes:fa plt:mg quy:qu swh:sw
uzn:uz ydd:yi zsm:ms
"""
_SHORT = dict(pair.split(":") for pair in f"{_PAIRS} {_MEMBERS}".split())


# Names in English that are written instead of codes: those of py3langid's languages.
_NAMES = """
afrikaans:af albanian:sq amharic:am arabic:ar aragonese:an armenian:hy assamese:as azerbaijani:az basque:eu
belarusian:be bengali:bn bosnian:bs breton:br bulgarian:bg catalan:ca chinese:zh croatian:hr czech:cs danish:da dutch:nl
dzongkha:dz english:en esperanto:eo estonian:et faroese:fo finnish:fi french:fr galician:gl georgian:ka german:de
greek:el gujarati:gu haitian:ht hebrew:he hindi:hi hungarian:hu icelandic:is indonesian:id irish:ga italian:it
japanese:ja javanese:jv kannada:kn kazakh:kk khmer:km kinyarwanda:rw kirghiz:ky kyrgyz:ky korean:ko kurdish:ku lao:lo
latin:la latvian:lv lithuanian:lt luxembourgish:lb macedonian:mk malagasy:mg malay:ms malayalam:ml maltese:mt
mandarin:zh marathi:mr mongolian:mn nepali:ne norwegian:no occitan:oc oriya:or pashto:ps persian:fa farsi:fa polish:pl
portuguese:pt punjabi:pa quechua:qu romanian:ro russian:ru serbian:sr sinhala:si slovak:sk slovenian:sl spanish:es
swahili:sw swedish:sv tagalog:tl tamil:ta telugu:te thai:th turkish:tr uighur:ug ukrainian:uk urdu:ur vietnamese:vi
walloon:wa welsh:cy xhosa:xh zulu:zu
"""
_NAMED = dict(pair.split(":") for pair in _NAMES.split())
_TWO_LETTERS = frozenset(_SHORT.values())


def checked(code: str) -> str:
    """`code` if it is one by which languages are named here: ISO 639-1, or of three letters for languages without such.

    Raises:
        ValueError: it is none; says which may be meant.
    """
    if code in _TWO_LETTERS or (len(code) == 3 and code.isalpha() and code.islower() and code not in (*_SHORT, "und")):
        return code
    plain = code.strip().lower()
    meant = _NAMED.get(plain) or short(plain)
    hint = f": did you mean {meant}?" if meant in _TWO_LETTERS else ", such as en"
    raise ValueError(f"{code!r} is no code of a language by ISO 639-1{hint}")


def short(label: str) -> str:
    """The code of `en`, `eng` or `eng_Latn`: of two letters where there is one.

    Chinese of either script is `zh`, Bokmål `no`.
    """
    code = label.partition("_")[0].partition("-")[0].lower()
    return _SHORT.get(code, code)
