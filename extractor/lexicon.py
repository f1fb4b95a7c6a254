"""The words, in English, German and Spanish, by which code reads the layout of a report. Data, no logic.

Everything is written folded: lower case, without diacritics (see `extractor.folding`), unless said otherwise.
Entries of the `*_WORDS` tuples are regular expressions for whole words.
"""

from typing import Final

# A full stop behind one of these doesn't end a sentence.
ABBREVIATIONS: Final = frozenset((
    "approx", "dr", "prof", "mr", "mrs", "fig", "figs", "nos", "vs", "resp", "incl", "excl", "est",
    "ref", "prev", "seg", "segs", "dept", "pat", "pt", "avg", "min", "max", "cf", "eg", "ie", "etc", "ca",
    "vol", "sec", "hr", "hrs", "yr", "yrs", "mod", "sev", "dist", "prox", "lat", "ant", "inf", "sup",
    "post", "bzw", "ggf", "usw", "evtl", "insb", "inkl", "exkl", "vgl", "zb", "st", "str", "nr", "abb",
    "tab", "unauff", "regelr", "path", "patholog", "konz", "exz", "li", "re", "bds", "beids", "ausg",
    "geringgr", "mittelgr", "hochgr", "hgr", "mgr", "lgr", "zn", "mind", "std", "sek", "jhg", "geb",
    "tel", "sog", "allg", "dtl", "dz", "ndl", "ev", "va", "bek", "tlw", "teilw",
    "linksventr", "rechtsventr", "ventr", "myok", "z.n", "v.a", "z.b", "u.a", "d.h", "o.g", "s.o",
    "s.u", "u.u", "i.v", "i.s", "m.e", "o.b", "aprox", "dra", "sr", "sra", "srta", "dres", "aprx", "pte",
    "pac", "num", "pag", "nat", "ed", "fdo", "izq", "izda", "izdo", "der", "dcha", "dcho", "vent", "ej",
    "verd", "hypertr", "transm", "intramioc", "subendoc", "e.v", "p.o", "i.e", "e.g", "p.i", "a.p", "u.wood",
))  # fmt: skip
MONTHS: Final = (
    "jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|marz|maerz|apr(?:il)?|may|mai|jun[ei]?|jul[iy]?|aug(?:ust)?|"
    "sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?|enero|febrero|marzo|abril|mayo|junio|julio|"
    "agosto|septiembre|octubre|noviembre|diciembre"
)
# Nouns behind a German ordinal: "am 3. Tag", "2. Grades".
ORDINAL_NOUNS: Final = frozenset((
    "tag", "tages", "tagen", "grad", "grades", "segment", "segments", "ordnung", "woche", "monat",
    "lebensjahr",
))  # fmt: skip
# A word that so plainly opens a sentence that even an abbreviation before it ended one.
OPENERS: Final = frozenset((
    "the", "there", "this", "these", "no", "normal", "left", "right", "after", "late", "der", "die",
    "das", "es", "kein", "keine", "im", "in", "nach", "linker", "rechter", "el", "la", "los", "las", "se",
    "tras", "sin", "ventriculo", "hay", "lv", "rv", "vi", "vd",
))  # fmt: skip

# --- what a number stands for -------------------------------------------------------------------------------------

# Numbers behind these are names of things: segment 7, Fig. 2, NYHA 3.
LABEL_WORDS: Final = (
    "segment(?:s|e|en|o|os)?|segs?|fig(?:ure|ura)?|abb(?:ildung)?|video|series?|serien?|image|bild|imagen|nr|no(?=[.:])|"
    "grade?|grado|typ[eo]?|tipo|stage|stadium|klasse|class|clase|nyha|canadian|ccs|phase|version|room|raum|group|gruppe|"
    "grupo|station|tabelle|table|tabla|patient|paciente|id|pid|accession|auftrag|fall|case|code"
)  # fmt: skip
AGE_WORDS: Final = "aged?|alter|edad|years|jahre|anos"
# Numbers behind these describe how the images were made.
ACQUISITION_WORDS: Final = (
    r"te|tr|ti|(?<!volumen )(?<!vol )(?<!vol\. )td|fov|flip angle|flipwinkel|inversion time|inversionszeit|tiempo de inversion|echo time|echozeit|"
    "tiempo de eco|repetition time|slice thickness|section thickness|schichtdicke|grosor de corte|espesor de corte|"
    "schichtabstand|slice gap|gap|voxel|voxel size|resolution|auflosung|matrix|matriz|b-?value|venc"
)
AGENT_WORDS: Final = (
    "gadolin[a-z]*|gadobut[a-z]*|gadoter[a-z]*|gadobenat[a-z]*|gadovist|gadavist|dotarem|clariscan|prohance|multihance|"
    "magnevist|omniscan|gado[a-z]+|kontrastmittels?|km|contrast (?:agent|media|medium|material)|medio de contraste|"
    "adenosin[ae]?|regadenoson|rapiscan|lexiscan|dobutamin[ae]?|buscopan|nacl|saline|kochsalz[a-z]*|suero"
)

# Numbers in a clause with one of these are not of magnetic resonance, unless one of the second list follows.
OTHER_MODALITY: Final = (
    "(?<!gradient[ -])(?<!spin[ -])(?<!field[ -])(?<!multi[ -])(?<!dual[ -])(?<!recalled )echo(?![ -](?:time|train|planar|gre|sequences?|sequenz|t[12])(?![^\\W_]))|echo[ck]ardiogra[a-z]*|tte|tee|toe|"
    "herzecho|ukg|sonogra[a-z]*|ultrasound|(?<!de )(?<!spin )(?<!multi[ -])eco(?! (?:de )?(?:gradiente?|planar))|ecocardio[a-z]*|"
    "ventri[ck]ulogra[a-z]*|cath(?:eter[a-z]*)?|herzkatheter[a-z]*|cateterismo|s[cz]+intigra[a-z]*|gammagra[a-z]*|spect"
)
THIS_MODALITY: Final = (
    "cmr|mri?|mrt|rmc?|irm|magnetic|magnetresonanz|kernspin[a-z]*|resonancia|now|today|current(?:ly)?|aktuell|jetzt|heute|"
    "ahora|hoy"
)

# Another modality that is only compared with ("in contrast to echo the LVEF is 55 %"), or gave no images ("poor echo windows").
COMPARED_WITH: Final = (
    "in contrast to|contrary to|unlike|im gegensatz zu[rm]?|anders als(?: in der| im)?|a diferencia del?"
)
NO_VIEW: Final = "windows?|fenster"
COMPARES: Final = "is|was|measures?|betragt|liegt|ist|misst|es|era|mide"

# Words that announce a normal range. The strong ones need nothing else; the weak ones need a bracket or a range.
NORMAL_STRONG: Final = (
    "normal (?:range|values?|limits?|for age)|normalwerte?|normwerte?|normbereich|normalbereich|referenzwerte?|"
    "referenzbereich|referenz|reference(?: range| values?)?|ref(?: range)?|rango (?:normal|de normalidad|de referencia)|"
    "valor(?:es)? (?:normal(?:es)?|de referencia)|referencia|vn|nb|lln|uln|cut-?off|threshold|grenzwert|obergrenze|"
    "untergrenze|(?:upper|lower) (?:limit|reference limit)(?: of normal(?:ity)?)?|limite (?:superior|inferior)(?: normal)?"
)
NORMAL_WEAK: Final = "normal(?:es|e|er|wert)?|norm|n|range|rango|bereich|expected|erwartet|esperado"
# What may stand between such a word and its numbers.
NORMAL_FILLERS: Final = (
    "range|values?|limits?|wert|bereich|for|age|sex|fur|alter|para|edad|de|men|women|male|female|m|f|manner|frauen|"
    "hombres|mujeres|from|von|desde|between|zwischen|entre|bis|up to|hasta|is|ist|es|w"
)

# --- the previous study -------------------------------------------------------------------------------------------

PRIOR_WORDS: Final = (
    "previous(?:ly)?|prev|prior(?! to)|formerly|earlier|last (?:study|exam|examination|mri|cmr|scan)|baseline|"
    "zuvor|vorher|fruher|vormals|voruntersuchung(?:en)?|vorbefund(?:e|es|en)?|voraufnahmen?|vor-?mrt|vu|ehemals|ehem|"
    "previ[oa]s?|previamente|anteriormente|(?:estudio|examen|control|resonancia|rmc?|informe) anterior|antes"
)
# Behind "prior": what was before is a study, or else an event of the patient's life and no measurement at all.
STUDY_WORDS: Final = (
    "stud(?:y|ies)|exam[a-z]*|mri|cmr|scans?|reports?|imaging|untersuchung|mrt|aufnahmen?|befund|estudios?|examen|"
    "resonancia|rmc?|informe|control"
)
EVENT_WORDS: Final = (
    "myocardial|infarct[a-z]*|mi|surgery|ablation|pci|stents?|bypass|cabg|history|intervention|ischa?emi[a-z]*|"
    "myocarditis|infarto|cirugia|intervencion"
)
VERSUS_WORDS: Final = (
    "vs|versus|compared (?:to|with)|in comparison (?:to|with)|gegenuber|gg|im vergleich (?:zu[rm]?|mit)|verglichen mit|"
    "frente a|(?:en )?comparacion con|comparad[oa] con|respecto al?"
)
CURRENT_WORDS: Final = "now|currently|current|today|present study|jetzt|aktuell(?:e|er|es|en)?|heute|nunmehr|derzeit|ahora|actual(?:mente)?|hoy"
# Further words of reports that tell of two studies; a number alone they don't date.
EARLIER_WORDS: Final = (
    "ago|before|then|back|(?:had )?been|slipped|vor [^ ]{1,8} (?:tagen|wochen|monaten|mon\\.?|jahren|jahr)|vorjahr(?:e?s)?|"
    "vorwerte?|vor-[a-z]+|damals|noch|zuletzt|akutereignis|entonces|hace [^ ]{1,8} [a-z]+|fase aguda|(?:comparison|vergleich)|"
    "up from|down from|at the time|last|initial(?:ly)?|auparavant|il y a|inicio|ingreso|start"
)
STABLE_WORDS: Final = (
    "unchanged|stable|similar|comparable|constant|unverandert|stabil|konstant|gleichbleibend|vergleichbar|sin cambios|"
    "estable|similar|superponible|increase[d]?|decrease[d]?|improve[d]?|improvement|progress[a-z]*|regredient|progredient|"
    "mejoria|empeoramiento|zunahme|abnahme|aumento|descenso"
)
CHANGE_WORDS: Final = (
    "improv|increas|decreas|declin|reduc|fell|fall|rose|risen|drop|chang|recover|verbesser|verschlechter|zugenommen|"
    "abgenommen|gesunken|gestiegen|angestiegen|anstieg|abfall|abnahme|zunahme|ruckgang|mejor|empeor|aument|dismin|"
    "descend|recuper|evoluci"
)
PRIOR_HEADINGS: Final = (
    f"comparison|prior (?:stud(?:y|ies)|exams?|mri|cmr)[^:]{{0,40}}|previous(?! (?:{EVENT_WORDS})(?![^\\W_]))[^:]{{0,40}}|"
    "vergleich(?:suntersuchung(?:en)?)?[^:]{0,40}|voruntersuchung(?:en)?[^:]{0,40}|vorbefunde?[^:]{0,40}|"
    "voraufnahmen?[^:]{0,40}|comparativo|comparacion[^:]{0,40}|(?:estudios?|rm|rmc|resonancia) (?:previ[oa]s?|anterior(?:es)?)[^:]{0,40}"
)
NONE_WORDS: Final = "none|no|not|keine?|nicht|ningun[oa]?|sin"
# Behind a term: nobody looked, so that nothing is said. "Oedema: not assessed", "LGE | not performed", "Klappen
# sind nicht beurteilbar". With words of French, Italian, Portuguese and Dutch, which terms have as well.
NOT_LOOKED: Final = (
    r"[\s:.|,>*()\[\]\u2013-]{1,40}(?:(?:images?|imaging|maps?|mapping|was|were|is|are|could|be|has|have|been|wurden?|ist|sind|"
    r"konnten?|werden|lasst|lassen|sich|fue|fueron|es|son|ha|sido|est|a|ete)[: ]{1,2}){0,3}(?:not|non|nicht|no|niet|pas|nao) "
    r"(?:be )?(?:assess|evalua|acquir|perform|done|obtain|given|administ|availab|record|examin|inject|possib|beurteil|erfass|"
    r"durchgef|verabr|gegeben|untersuch|auswertb|valora|realiz|realis|dispon|adquir|somministr|esegui|valuta|avalia|"
    r"onderzo|beoord|toegedien|uitgevoer)(?![a-z]* (?:of|de la|del|der|anti[a-z]+)(?![^\W_]))"
)
# No contrast agent was given, whose name is a term of late enhancement.
NO_AGENT: Final = (
    "(?<!up )(?<!takes )(?<!took )(?<!shows )(?<!nimmt )(?<!nehmen )(?:no|without|non|w/o|wo|ohne|keine?[mnr]?|sin|sans|senza|sem|zonder|geen|no se (?:us|utiliz|administr|aplic)o)[ -]"
    r"(?:i\.?v\.? )?(?:gadolinio|gadolinium|gado?|contrast[eo]?|kontrastmittel|kontrast|km|mezzo di contrasto|medio de contraste)"
    r"(?![^\W_])(?![ -]{0,2}(?:enhanc|uptake|accumul|depos|reten|capt|realce|aufnahme|anreich|speicher|late|spat|impregn))"
)
# Cells that head a column of a table.
REFERENCE_HEADER: Final = f"{NORMAL_STRONG}|norm[a-z]*|range|rango|limits?|limites"
COLUMN_OF_NORMALS: Final = frozenset({"n", "nb", "vn", "ref", "norm"})

# A clause that holds one of these doubts what it speaks of. "Likely" and "suggests" are of a conclusion as a rule; "no
# doubt", "kein Verdacht", "nicht möglich" and "12 May 2024" are no doubt.
DOUBT: Final = (
    r"(?<!kein )(?<!keine )(?<!keinen )(?<!ohne )(?<!nicht )(?<!no )(?<!not )(?<!without )(?<!sin )(?<!no es )(?<!keinerlei )(?<!nothing )(?<!clear )(?<!nor )(?<!soweit )(?<!far as )(?<!hagan )(?:"
    r"fragl[a-z]*|zweifel[a-z]*|unsicher|vielleicht|evtl|eventuell|moglich[a-z]*|denkbar|vermut[a-z]*|verdacht[a-z]*|suspekt|scheint|"
    r"grenzw(?:ertig[a-z]*)?|an der grenze|(?<![a-z0-9] )ob(?= [a-z])|questionabl[ey]|equivocal|doubt(?:ful(?:ly)?|ed)?|dubious|uncertain|unsure|possibl[ey]|probably|"
    r"perhaps|maybe|(?<![0-9] )(?<![0-9]\. )may(?! [0-9])|might|whether|conceivabl[ey]|presumed|supposed|suspect(?:ed|s)?|suspicio(?:n|us)|"
    r"borderline|(?:on|at) the (?:border|limit)|indeterminate|ambig[a-z]+|poss|hint of|dudos[a-z]*|duda|discutibles?|limitrofes?|limite|posibles?|posiblemente|quizas?|podria|parece|impresiona|sospech[a-z]*|"
    r"incipiente|cuestionables?|equivoc[oa]s?|frente a(?! [<>~]?[0-9])|inespecific[oa]s?|douteu[a-z]*|peut[- ]etre|possibles|dubbi[oa]|forse|possibile|duvidos[oa]|possivel|twijfel[a-z]*|mogelijke?|misschien)|"
    r"nicht (?:ganz |vollig |sicher )?(?:sicher|mit sicherheit|gesichert|bewiesen|auszuschlie(?:ss|\u00df)en|ausgeschlossen|konklusiv|ausgeraumt)|"
    r"nicht (?:[a-z-]+ ){0,4}zu (?:trennen|entscheiden|unterscheiden)|"
    r"(?:not|cannot|can't|can not|neither) (?:be )?(?:[a-z]+ )?(?:sure|certain|proven|established|excluded?|ruled?|discarded|affirmed|confirmed)|"
    r"no (?:se )?(?:[a-z]+ )?(?:descart|exclu[iy]|confirm|segur|concluy|asegur)[a-z]*|sin poder(?:lo)? [a-z]+|"
    r"imposible (?:exclu|descart|diferenci|distingu)[a-z]+"
)
CLAUSE_ENDS: Final = r"[;,.|]| (?:but|aber|jedoch|pero|and|und|y|e|et|en) "

# --- chambers -----------------------------------------------------------------------------------------------------

LEFT_WORDS: Final = (
    "lv[a-z]*|left[- ]ventric[a-z]*|left heart|link(?:er|en|e|es|em)? (?:ventri[ck]{1,2}els?|herz(?:ens)?|(?:herz)?kammer)|links|(?<=(?:on|or) the )left(?! [av])|linksventrik[a-z]*|linksventr|"
    "li ventrikels?|ventriculo izq[a-z]*|ventricular izq[a-z]*|ventriculares izq[a-z]*|vi|"
    "i?(?:vt[ds]|v[ds]f|vf[ds]|fe|dt[ds]|vl|vs|im|gc)[- ]?vi|vg|[a-z]*vg|ventricul(?:e|aire) gauche|ventricol[oa][a-z]* sinistr[oa]|"
    "linkerventrik[a-z]*|left side|(?<=del )izquierdo|(?<=el )izquierdo(?= (?:es|tiene|mide|conserva|mantiene|presenta|esta)(?![a-z]))|(?<=que el )izquierdo|left(?= (?:measure|hold|has |contain|eject))|der linke(?= (?:w|h|m|f|b))|"
    # "VS" is the left ventricle of Italian only where it opens a statement: elsewhere it is "versus"
    r"(?:massa|telediastolico|telesistolico|eiezione) vs|(?:(?<![^\n])|(?<=[.\u2022-] ))vs(?= ?:| [0-9])"
)
RIGHT_WORDS: Final = (
    "rv(?!ol)[a-z]*|right[- ]ventric[a-z]*|right heart|recht(?:er|en|e|es|em)? (?:ventri[ck]{1,2}els?|herz(?:ens)?|(?:herz)?kammer)|rechts|(?<=(?:on|or) the )right(?! [av])|rechtsventrik[a-z]*|rechtsventr|"
    "re ventrikels?|ventriculo der[a-z]*|ventricular der[a-z]*|ventriculares der[a-z]*|vd|tapse|"
    "i?(?:vt[ds]|v[ds]f|vf[ds]|fe|dt[ds]|vl|vs|im|gc)[- ]?vd|ventricul(?:e|aire) droite?|ventricol[oa][a-z]* destr[oa]|"
    "rechterventrik[a-z]*|right side|(?<=del )derecho|(?<=el )derecho(?= (?:es|tiene|mide|conserva|mantiene|presenta|esta)(?![a-z]))|(?<=que el )derecho|right(?= (?:measure|hold|has |contain|eject))|der rechte(?= (?:w|h|m|f|b))|morfologia derecha"
)
ATRIUM_WORDS: Final = (
    # "la" alone is the article of three languages as well: an atrium where numbers or English or German words follow
    r"la(?:ef|ev|v|vi)|la(?=[^\w\s]|\s?[0-9]|$| (?:ef|edv|esv|vol|size|area|is|was|not|n|nl|mild|mod|sev|mark|norm|dil|enl|and|"
    r"und|lgr|mgr|hgr|leicht|mittel|hoch|verg|gross|unauff)(?![^\W_])| (?:dilated|dilation|dilatation|mildly|severely|"
    r"moderately|normal|enlarged|volume|ejection))|"
    "ra(?:ef)?|(?:left|right) atri[a-z]*|atrial|vorhofs?|vorhofe|(?:links|rechts)atriale?[a-z]?|"
    "auricul[a-z]*|ai(?=[ )-])"
)
BIVENTRICULAR_WORDS: Final = (
    "biventricul[a-z]*|biventrikul[a-z]*|both ventricles|beider? ventrikel|ambos ventriculos"
)
# What else may say something of the right ventricle: the heart's chambers together, or a side alone.
RIGHT_HEART_WORDS: Final = (
    "ventricles|ventriculos|ventricules|ventricoli|ventrikels|(?<!linke )(?<!linke[rn] )(?:ventrikeln?|kammern?)|kammer(?:gr|dil|wei)[a-z]*|"
    "bivent[a-z]*|(?<!left )chambers?|herzhohlen|camaras?|cavit(?:ies|es|a)|cavidades|hartkamers|rechtsherz[a-z]*|right[- ]sided|"
    "both|neither ventricle|beide[nrs]?|amb[oa]s|entramb[ie]|les deux|right one|(?:el|y) derecho|der rechte|le droit|il destro|nothing is dilated|"
    "(?:right|rechte[rnms]?) v[a-z]+|heart size|herzgross?e|ventriculo direito|rechterkamer|rechter kamer"
)
# Of a right ventricle these say that its size and function are normal, without words for either.
UNREMARKABLE: Final = (
    r"normal[a-z]*|nl|norm|regel[a-z]*|unauff[a-z]*|o\.? ?b|unremarkable|in range|limits|altersentsprechend|grenzen|fein|fine|good|"
    "sin alteraciones|sans particularite|nella norma|normaal|intact[a-z]*|no abnormalit[a-z]*|neither|likewise|same|ebenso|auch|"
    "igual|idem"
)
# The same of a ventricle that a part of a sentence says nothing else of.
NORMAL_WORDS: Final = (
    "normal[a-z]*|nl|s/p|regelrecht[a-z]*|unauff[a-z]*|o\\.? ?b|unremarkable|altersentsprechend|sin alteraciones|intact[a-z]*|"
    "without abnormalit[a-z]*"
)
# Words of size and thickness that say nothing of a ventricle's.
NO_SIZE: Final = (
    "(?<![0-9])[0-9]{1,4} ?(?:%|percent|prozent|por ciento|g) ?(?:(?:of|der|de|del|la|el|the|d\\.) ){0,3}(?:lv[ -]?|left ventricular |total |"
    "myocardial |linksventrikularen |gesamten )?(?:myocardial |muscle )?(?:mass[ae]?|masa(?: ventricular| miocardica)?(?: izquierda)?|"
    "myocardium|miocardio|myokards?)|full[ -]thickness|wall motion|septal (?:bounce|shift)"
)
PARTS_OF_SENTENCE: Final = r"[;.|](?=\s|$)|, |\n"
# A sentence that names one of these, and nothing of the left ventricle, says nothing of its size, walls or function.
OTHER_PARTS: Final = (
    f"{ATRIUM_WORDS}|{RIGHT_WORDS}|peri[ck]ard[a-z]*|herzbeutel[a-z]*|effusions?|derrame|[a-z]*erguss[a-z]*|aort[a-z]*|arch|arco|"
    "bogen|leaflets?|velos?|segel|[a-z]*klappen?|valv[a-z]*|mitral[a-z]*|tri[ck]uspid[a-z]*|in?suffi[cz]ien[a-z]*|regurgita[a-z]*|"
    "atri|atria|[a-z]*vorhof[a-z]*|ivc|cava|hohlvene|tumou?r[a-z]*|raumforderung|pleura[a-z]*|pulmon[a-z]*|liver|leber|higado"
)
LEFT_HEART_WORDS: Final = (
    "ventri[ck][a-z]*|ve|fev[egs]|chambers?|kammer[a-z]*|"
    "camaras?|cavit[a-z]*|cavidad[a-z]*|[ck]avum|heart|herz|corazon|coeur|cuore|hart|[a-z]*walls?|[a-z]*wan[dt][a-z]*|"
    "sept(?:um|al)[a-z]*|m[iy]o[ck]ard[a-z]*|pared(?:es)?|parois?|paret[ei]|[hi]?ypertroph[a-z]*|h?ipertrof[a-z]*|lvh|hvi|"
    "concentric[a-z]*|konz[a-z]*|grosor(?:es)?|espesor(?:es)?|m?wt|ivs|miocardiopat[a-z]*|[a-z]*funktion"
)
# Before its number, a ventricle alone: "EF: LV 45 %, RV 30 %".
LEFT_ALONE: Final = "lv|vi|vg|left(?: ventricle)?|links|linker ventrikel|(?:ventriculo )?izquierdo"
RIGHT_ALONE: Final = "rv|vd|right(?: ventricle)?|rechts|rechter ventrikel|(?:ventriculo )?derecho"
# A ventricle and one of these, alone in a line, are a heading.
HEADING_WORDS: Final = (
    "function|volumes?|volumetry|quantification|analysis|parameters|measurements|assessment|funktion|volumina|volumetrie|"
    "parameter|messwerte|funcion|volumenes|cuantificacion|parametros|medidas"
)
# "RV insertion point" says where a scar is, not which ventricle the sentence is about.
INSERTION_WORDS: Final = (
    "insert[a-z]*|inserenz|seitig[a-z]*|insercion[a-z]*|insertion[a-z]*|septal junction|hinge"
)
# One word for a side, where a table's heading or a pair "links/rechts" makes plain that ventricles are meant.
LEFT_SHORT: Final = "l|left|links|li|linker|izquierdo|izq|vs|sx|sinistro|gauche|ve|esquerdo"
RIGHT_SHORT: Final = "r|right|rechts|re|rechter|derecho|der|dcho|dx|destro|droite?|direito"
# A table's heading over values that are indexed to body surface area, and the end of a row's name that says so.
INDEX_HEADER: Final = (
    r"(?:.* )?(?:indexed|index\.?|ind\.?|indi[xz]iert|indiz\.?|indexad[oa]|index[e\u00e9]|indicizzat[oa])(?: ?[(\[][^()\[\]]{0,12}[)\]])?|"
    r".*/ ?(?:m2|m\u00b2|qm|sqm|mq|bsa|kof|sc)"
)
# Terms that both ventricles share: under these, the ventricle must come from the context.
VENTRICULAR_TERMS: Final = (
    "ef|fe|feve|vfd[i]?|vdf[i]?|vfs[i]?|vsf[i]?|ivt[ds]|edv[i]?|esv[i]?|sv[i]?|edd|esd|co|ci|hzv|hi|vtd[i]?|vts[i]?|dtd|dts|tdv[i]?|tsv[i]?|"
    "[a-z]*eje[ck]tion[a-z]*|eyeccion|auswurf[a-z]*|[a-z]*volum[a-z]*|[a-z]*diastol[a-z]*|[a-z]*s[iy]stol[a-z]*|stroke|"
    "schlag[a-z]*|eje[ck]t[a-z]*|pump[a-z]*|fun[kc]t?ion|fonction|funzione|fkt|fraccion|expulsa|eyecta|mass[ae]?|masa|[a-z]+masse|output|herzzeit[a-z]*|gasto"
)
# A heading of this kind ends what was being said of a ventricle.
OTHER_HEADINGS: Final = (
    "atria|(?:left|right) atrium|vorhofe|(?:linker|rechter) vorhof|auriculas?(?: [a-z]+)?|la|ra|aorta|aorta [a-z]+|valves?|"
    "(?:mitral|aortic|tricuspid|pulmonary) valve|klappen|[a-z]+klappe|valvulas?|pericardium|perikard|pericardio|lge|"
    "late (?:gadolinium )?enhancement|late enhancement|realce(?: tardio)?|perfusion|mapping|t1|t2|oedema|edema|odem|"
    "impression|conclusions?|summary|beurteilung|zusammenfassung|conclusion(?:es)?|impresion|resumen|findings|befund|"
    "hallazgos|technique|technik|tecnica|indication|indikation|indicacion|history|anamnese|extracardiac[a-z ]*|others?"
)

# Terms that are only an attribute of what was named before them: a thickened pericardium is no thick wall.
ATTRIBUTE_WORDS: Final = (
    "thick(?:ness|ened|ening)?|dicke?|wanddicken?|wandstarken?|verdickt(?:es|e)?|verdickung|verd|wall|walls|wand|wande|gros(?:or|ores)|espesor(?:es)?|"
    "engrosad[oa]|engrosamiento|pared(?:es)?|epaisseur|epaississement|parois?|spessor[ei]|ispessit[oa]|ispessimento|"
    "pareti|hypertroph[a-z]*|hipertrof[a-z]*|hypertr"
)
SHARE_WORDS: Final = "fraction|fraccion"  # of a regurgitation rather than of an ejection

# Terms (not expressions) of common measurements that a schema may not ask for. A number that one of these names is
# not offered to fields whose own terms name nothing: a stroke volume is no end-systolic volume.
OTHER_MEASURES: Final = (
    *("pericardial", "pericardic", "Pericard", "Perikardverdickung", "PA"),
    *("regurgitation", "RVol", "Qp/Qs", "leaflet", "septal leaflet", "velo septal", "Segel", "BMI"),
    *(
        "septal defect",
        "VSD",
        "ASD",
        "Septumdefekt",
        "defecto septal",
        "emptying fraction",
        "MR fraction",
        "AR fraction",
    ),
    *("liver T2*", "hepatic T2*", "T2* liver", "Leber T2*", "aortic wall thickness", "aortic wall"),
    *("post-contrast T1", "postcontrast T1", "Postkontrast T1", "T1 post-contrast", "T1 postcontraste"),
    *("body mass index", "IMC", "indice de masse corporelle", "Raumforderung", "Knoten", "CO", "NC/C"),
    *("interatrial septum", "Vorhofseptum", "septo interauricular", "Truncus pulmonalis", "cava"),
    *(
        "stroke volume",
        "SV",
        "SVi",
        "stroke volume index",
        "LVSV",
        "RVSV",
        "Schlagvolumen",
        "Schlagvolumenindex",
        "SVI",
    ),
    *(
        "volumen latido",
        "volumen de eyeccion",
        "volumen eyectado",
        "VL",
        "VL VI",
        "VL VD",
        "volume d'ejection",
    ),
    *(
        "regurgitant volume",
        "regurgitation volume",
        "anterograde volume",
        "antegrade volume",
        "retrograde volume",
    ),
    *(
        "forward volume",
        "reverse volume",
        "forward flow",
        "net flow",
        "Regurgitationsvolumen",
        "Vorwartsvolumen",
    ),
    *(
        "Ruckwartsvolumen",
        "volumen regurgitante",
        "volumen anterogrado",
        "volumen retrogrado",
        "atrial volume",
        "LAVI",
    ),
    *("LA volume", "RA volume", "Vorhofvolumen", "volumen auricular", "cardiac output", "cardiac index"),
    *(
        "regurgitant fraction",
        "regurgitation fraction",
        "RF",
        "Regurgitationsfraktion",
        "fraccion regurgitante",
    ),
    *(
        "fraccion de regurgitacion",
        "strain",
        "GLS",
        "GCS",
        "GRS",
        "FAC",
        "FS",
        "stenosis",
        "Stenose",
        "estenosis",
    ),
    *("haematocrit", "hematocrit", "hematocrito", "Hamatokrit", "Hkt", "Hct", "saturation", "LAEF", "LA EF"),
    *(
        "atrial ejection fraction",
        "left atrial ejection fraction",
        "thrombus",
        "Thrombus",
        "trombo",
        "effusion",
    ),
    *(
        "Erguss",
        "Perikarderguss",
        "Pleuraerguss",
        "derrame",
        "vena cava",
        "IVC",
        "aorta",
        "aortic root",
        "Aortenwurzel",
    ),
    *("raiz aortica", "diameter", "diameters", "Durchmesser", "diametro", "diametros", "pulmonary artery"),
    *(
        "pulmonary trunk",
        "Pulmonalarterie",
        "arteria pulmonar",
        "left atrium",
        "right atrium",
        "linker Vorhof",
    ),
    *(
        "rechter Vorhof",
        "auricula izquierda",
        "auricula derecha",
        "TAPSE",
        "MAPSE",
        "LVEDD",
        "LVESD",
        "EDD",
        "ESD",
    ),
    *(
        "DTD",
        "DTS",
        "DTDVI",
        "DTSVI",
        "mass measuring",
        "tumour",
        "tumor",
        "lesion",
        "nodule",
        "cyst",
        "Zyste",
        "quiste",
    ),
    *(
        "lymph node",
        "lymph nodes",
        "Lymphknoten",
        "adenopatia",
        "hernia",
        "pericardium",
        "Perikard",
        "pericardio",
    ),
)
