"""What stands on a receipt besides its figures, in the languages of its guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.texts.catalogue import Text

RECEIPT: Final = Text("Beleg {number}", "Receipt {number}")
REGISTER: Final = Text("Kasse {register}", "Register {register}")
STAFF: Final = Text("Es bediente {name}", "Served by {name}")
TABLE: Final = Text("Tisch {name}", "Table {name}")
VOIDS: Final = Text("STORNO zu Beleg {number}", "VOID of receipt {number}")
VOIDED: Final = Text("STORNIERT durch Beleg {number}", "VOIDED by receipt {number}")
REFUNDS: Final = Text("ERSTATTUNG zu Beleg {number}", "REFUND of receipt {number}")
REFUNDED: Final = Text("Davon erstattet", "Refunded of it")
COPY: Final = Text("KOPIE {copy}", "COPY {copy}")
DISCOUNT: Final = Text("Rabatt", "Discount")
SURCHARGE: Final = Text("Aufschlag", "Surcharge")
TOTAL: Final = Text("Summe", "Total")
TIP: Final = Text("Trinkgeld", "Tip")
CHANGE: Final = Text("Rückgeld", "Change")
TAX: Final = Text("MwSt", "VAT")
NET: Final = Text("Netto", "Net")
TAX_AMOUNT: Final = Text("Steuer", "Tax")
GROSS: Final = Text("Brutto", "Gross")
PHONE: Final = Text("Tel. {phone}", "Phone {phone}")
TAX_NUMBER: Final = Text("St.-Nr. {number}", "Tax no. {number}")
VAT_ID: Final = Text("USt-IdNr. {number}", "VAT id {number}")

SIGNED: Final = Text("TSE-Signatur", "TSE signature")
TRANSACTION: Final = Text("Transaktion", "Transaction")
COUNTER: Final = Text("Signaturzähler", "Signature counter")
STARTED: Final = Text("Beginn", "Start")
FINISHED: Final = Text("Ende", "End")
CLIENT: Final = Text("Seriennr. Kasse", "Register serial")
SERIAL: Final = Text("Seriennr. TSE", "TSE serial")
CHECK_VALUE: Final = Text("Prüfwert", "Check value")
UNSIGNED: Final = Text("Ohne TSE-Signatur: {reason}", "Without TSE signature: {reason}")
AWAITED: Final = Text("die Antwort der TSE steht aus", "the TSE has not answered yet")
# reason of libs.contracts.pos.signing → words
UNSIGNED_REASONS: Final[Mapping[str, Text]] = {
    "no_signing_unit": Text("keine TSE eingerichtet", "no TSE is set up"),
    "signer_failed": Text("TSE ausgefallen", "the TSE failed"),
    "signer_timeout": Text("TSE antwortet nicht", "the TSE does not answer"),
    "tax_rate_without_slot": Text("Steuersatz der TSE unbekannt", "tax rate unknown to the TSE"),
}

HOSPITALITY: Final = Text("BEWIRTUNGSBELEG", "BUSINESS MEAL RECEIPT")
HOSPITALITY_LAW: Final = Text(
    "Angaben zum Nachweis der Höhe und der betrieblichen Veranlassung von Bewirtungsaufwendungen (§ 4 Abs. 5 Nr. 2 EStG)",
    "Proof of the amount and the business purpose of entertainment expenses (section 4 (5) no. 2 of the German Income Tax Act)",
)
MEAL_DAY: Final = Text("Tag der Bewirtung", "Date of the meal")
MEAL_PLACE: Final = Text("Ort der Bewirtung", "Place of the meal")
OCCASION: Final = Text("Anlass", "Occasion")
GUESTS: Final = Text("Bewirtete Personen", "Persons entertained")
HOST: Final = Text("Bewirtende Person", "Host")
EXPENSE: Final = Text("Aufwendungen laut Rechnung", "Expense according to the bill")
EXPENSE_WITH_TIP: Final = Text("mit Trinkgeld", "with tip")
SIGN_HERE: Final = Text("Ort, Datum, Unterschrift der bewirtenden Person", "Place, date, signature of the host")

MAIL_SUBJECT: Final = Text("Ihr Beleg {number} von {company}", "Your receipt {number} from {company}")
MAIL_TEXT: Final = Text(
    "Guten Tag,\n\nim Anhang finden Sie Ihren Beleg {number}.\n\nMit freundlichen Grüßen\n{company}\n",
    "Hello,\n\nplease find your receipt {number} attached.\n\nKind regards\n{company}\n",
)
