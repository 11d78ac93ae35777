"""The catalogue of user texts. A reason of ``libs.domain.errors`` has a headline and a detail; a field's reason has a phrase."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from libs.domain.errors import DomainError, FieldError, Param


class Language(StrEnum):
    GERMAN = "de"
    ENGLISH = "en"


class Text(msgspec.Struct, frozen=True):
    """One sentence in both languages; ``{name}`` stands for a parameter."""

    de: str
    en: str

    def __call__(self, language: Language, params: Mapping[str, Param]) -> str:
        template = self.de if language is Language.GERMAN else self.en
        return template.format_map(_Named(language, params))


class _Named(dict[str, str]):
    """Parameters as text; those that are amounts in minor units are written as money."""

    def __init__(self, language: Language, params: Mapping[str, Param]) -> None:
        super().__init__((name, _written(language, name, value)) for name, value in params.items())

    def __missing__(self, name: str) -> str:
        return "?"


AMOUNTS: Final = frozenset({"due", "missing", "change", "cash", "kept"})


def _written(language: Language, name: str, value: Param) -> str:
    if name in AMOUNTS and isinstance(value, int):
        euros = f"{value // 100}.{value % 100:02d}"
        return f"{euros.replace('.', ',')} €" if language is Language.GERMAN else f"€{euros}"
    return str(value)


# reason → headline
HEADLINES: Final[Mapping[str, Text]] = {
    "invalid_fields": Text("Ungültige Eingabe", "Invalid input"),
    "malformed_json": Text("Ungültiges JSON", "Malformed JSON"),
    "json_too_deep": Text("Ungültiges JSON", "Malformed JSON"),
    "json_key_repeated": Text("Ungültiges JSON", "Malformed JSON"),
    "malformed_request": Text("Ungültige Anfrage", "Invalid request"),
    "header_too_large": Text("Anfrage zu groß", "Request too large"),
    "expectation_unknown": Text("Ungültige Anfrage", "Invalid request"),
    "body_unreadable": Text("Ungültige Anfrage", "Invalid request"),
    "body_too_slow": Text("Zeitüberschreitung", "Timed out"),
    "wrong_content_type": Text("Falscher Inhaltstyp", "Wrong content type"),
    "body_too_large": Text("Anfrage zu groß", "Request too large"),
    "route_not_found": Text("Adresse nicht gefunden", "Address not found"),
    "method_not_allowed": Text("Methode nicht erlaubt", "Method not allowed"),
    "application_not_found": Text("Anwendung nicht gefunden", "Application not found"),
    "application_in_use": Text("Anwendung wird verwendet", "Application is in use"),
    "webhook_not_found": Text("Webhook nicht gefunden", "Webhook not found"),
    "service_not_sent": Text("Dienst gehört nicht zum Webhook", "Service is not part of the webhook"),
    "instance_not_found": Text("Mandant nicht gefunden", "Instance not found"),
    "instance_open": Text("Mandant noch offen", "Instance is open"),
    "article_not_found": Text("Artikel nicht gefunden", "Article not found"),
    "article_group_not_found": Text("Artikelgruppe nicht gefunden", "Article group not found"),
    "article_group_in_use": Text("Artikelgruppe wird verwendet", "Article group is in use"),
    "option_template_not_found": Text("Optionsvorlage nicht gefunden", "Option template not found"),
    "option_template_in_use": Text("Optionsvorlage wird verwendet", "Option template is in use"),
    "price_rule_not_found": Text("Preisregel nicht gefunden", "Price rule not found"),
    "price_rule_in_use": Text("Preisregel wird verwendet", "Price rule is in use"),
    "article_without_image": Text("Kein Bild vorhanden", "No image"),
    "wrong_image_type": Text("Falscher Inhaltstyp", "Wrong content type"),
    "not_an_image": Text("Kein lesbares Bild", "Not a readable image"),
    "image_too_large": Text("Bild zu groß", "Image too large"),
    "file_too_large": Text("Datei zu groß", "File too large"),
    "expanded_too_large": Text("Antwort zu groß", "Answer too large"),
    "too_many_records": Text("Zu viele Einträge", "Too many entries"),
    "list_too_long": Text("Liste zu lang", "List too long"),
    "changes_unknown": Text("Änderungen nicht mehr bekannt", "Changes no longer known"),
    "position_unknown": Text("Position nicht bekannt", "Position not known"),
    "article_inactive": Text("Artikel ist nicht aktiv", "Article is not active"),
    "article_in_use": Text("Artikel wird verwendet", "Article is in use"),
    "table_in_use": Text("Tisch wird verwendet", "Table is in use"),
    "tax_rate_in_use": Text("Steuersatz wird verwendet", "Tax rate is in use"),
    "user_in_use": Text("Mitarbeiter wird verwendet", "User is in use"),
    "tax_class_without_rate": Text("Steuerklasse ohne Steuersatz", "Tax class without a rate"),
    "tax_rate_not_found": Text("Steuersatz nicht gefunden", "Tax rate not found"),
    "table_not_found": Text("Tisch nicht gefunden", "Table not found"),
    "table_inactive": Text("Tisch ist nicht aktiv", "Table is not active"),
    "table_not_occupied": Text("Tisch ist nicht besetzt", "Table is not occupied"),
    "table_needs_cleaning": Text("Tisch muss erst gereinigt werden", "Table needs cleaning first"),
    "table_needs_no_cleaning": Text("Tisch muss nicht gereinigt werden", "Table needs no cleaning"),
    "table_occupied": Text("Tisch ist besetzt", "Table is occupied"),
    "table_code_invalid": Text("Tischcode ungültig", "Table code is invalid"),
    "table_group_not_found": Text("Tischgruppe nicht gefunden", "Table group not found"),
    "table_group_in_use": Text("Tischgruppe wird verwendet", "Table group is in use"),
    "course_not_ordered": Text("Gang ist nicht bestellt", "Course was not ordered"),
    "line_not_found": Text("Position nicht gefunden", "Item not found"),
    "line_moved_on": Text("Position ist nicht mehr dort", "Item is no longer there"),
    "line_begun": Text("Position ist schon in Arbeit", "Item is being made already"),
    "line_held": Text("Gang ist noch nicht abgerufen", "Course was not called yet"),
    "line_quantity_exceeds_open": Text("Menge größer als offen", "Quantity exceeds what is open"),
    "too_many_open_lines": Text("Zu viele offene Positionen", "Too many open items"),
    "nothing_to_pay": Text("Nichts zu bezahlen", "Nothing to pay"),
    "payment_short": Text("Zahlung zu gering", "Payment too low"),
    "change_exceeds_cash": Text("Rückgeld nur aus Bargeld", "Change comes out of cash only"),
    "payment_type_not_accepted": Text("Zahlart nicht möglich", "Payment type not accepted"),
    "payment_type_not_offline": Text("Zahlart nur mit Verbindung", "Payment type needs a connection"),
    "tender_declined": Text("Zahlung abgelehnt", "Payment declined"),
    "tender_account_unknown": Text("Konto nicht gefunden", "No such account"),
    "tender_account_blocked": Text("Konto gesperrt", "Account blocked"),
    "tender_account_expired": Text("Konto abgelaufen", "Account expired"),
    "tender_balance_too_low": Text("Guthaben zu gering", "Balance too low"),
    "payment_under_way": Text("Ausgang der Zahlung noch offen", "Outcome of the payment not known yet"),
    "bill_changed": Text("Rechnung hat sich geändert", "The bill has changed"),
    "payment_given_up": Text("Zahlung abgebrochen", "Payment given up"),
    "refund_exceeds_tender": Text("Erstattung zu hoch", "Refund too high"),
    "receipt_not_found": Text("Beleg nicht gefunden", "Receipt not found"),
    "receipt_is_a_void": Text("Stornobeleg kann nicht storniert werden", "A void receipt cannot be voided"),
    "receipt_already_voided": Text("Beleg ist bereits storniert", "Receipt is already voided"),
    "receipt_is_a_refund": Text("Erstattungsbeleg kann nicht zurückgenommen werden", "A refund receipt cannot be taken back"),
    "receipt_partly_refunded": Text("Beleg ist teilweise erstattet", "Receipt is partly refunded"),
    "nothing_to_refund": Text("Nichts zu erstatten", "Nothing to refund"),
    "customer_not_found": Text("Kunde nicht gefunden", "Customer not found"),
    "too_many_copies": Text("Zu viele Kopien", "Too many copies"),
    "no_business_meal": Text("Kein Bewirtungsbeleg möglich", "No business meal receipt possible"),
    "too_many_hospitalities": Text("Bewirtungsangaben zu oft geändert", "Business meal changed too often"),
    "too_many_mails": Text("Beleg zu oft versandt", "Receipt mailed too often"),
    "mail_not_configured": Text("E-Mail ist nicht eingerichtet", "Mail is not set up"),
    "mail_recipient_refused": Text("Empfänger abgelehnt", "Recipient refused"),
    "mail_server_unreachable": Text("E-Mail nicht versandt", "Mail not sent"),
    "mail_server_timeout": Text("E-Mail nicht versandt", "Mail not sent"),
    "mail_login_refused": Text("E-Mail nicht versandt", "Mail not sent"),
    "mail_refused": Text("E-Mail nicht versandt", "Mail not sent"),
    "secret_unreadable": Text("E-Mail nicht versandt", "Mail not sent"),
    "line_quantity_exceeds_left": Text("Menge zu hoch", "Quantity too high"),
    "refund_not_exact": Text("Erstattung nicht passend", "Refund not exact"),
    "no_open_shift": Text("Keine offene Schicht", "No open shift"),
    "register_numbers_itself": Text("Kasse nummeriert selbst", "Register numbers itself"),
    "register_takes_numbers": Text("Kasse nummeriert nicht selbst", "Register does not number itself"),
    "register_has_receipts": Text("Kasse hat schon Belege", "Register has receipts already"),
    "register_stays_offline": Text("Kasse nummeriert weiter selbst", "Register goes on numbering itself"),
    "shift_not_found": Text("Schicht nicht gefunden", "Shift not found"),
    "shift_already_open": Text("Schicht bereits offen", "Shift already open"),
    "shift_already_settled": Text("Schicht bereits abgerechnet", "Shift already settled"),
    "shift_not_settled": Text("Schicht noch offen", "Shift not settled"),
    "too_many_open_shifts": Text("Zu viele offene Schichten", "Too many open shifts"),
    "day_already_closed": Text("Tag bereits abgeschlossen", "Day already closed"),
    "open_tables": Text("Offene Tische", "Open tables"),
    "no_day_closing": Text("Kein Tagesabschluss begonnen", "No day is being closed"),
    "z_report_not_found": Text("Tagesabschluss nicht gefunden", "End-of-day report not found"),
    "report_too_large": Text("Bericht zu groß", "Report too large"),
    "user_not_found": Text("Mitarbeiter nicht gefunden", "User not found"),
    "group_not_found": Text("Gruppe nicht gefunden", "Group not found"),
    "user_inactive": Text("Mitarbeiter ist nicht aktiv", "User is not active"),
    "last_admin": Text("Der letzte Administrator muss bleiben", "The last administrator has to stay"),
    "card_taken": Text("Karte ist bereits vergeben", "Card is already taken"),
    "too_fast": Text("Zu viele Anfragen", "Too many requests"),
    "too_many_tries": Text("Zu viele Fehlversuche", "Too many wrong tries"),
    "user_gone": Text("Anmeldung erforderlich", "Login required"),
    "credentials_wrong": Text("Anmeldung fehlgeschlagen", "Login failed"),
    "default_credentials": Text("Standardpasswort nicht erlaubt", "Default password not allowed"),
    "client_unknown": Text("Anwendung nicht zugelassen", "Application not admitted"),
    "no_client": Text("Anwendung nicht zugelassen", "Application not admitted"),
    "code_invalid": Text("Anmeldung erforderlich", "Login required"),
    "grant_type_unknown": Text("Ungültige Eingabe", "Invalid input"),
    "page_too_old": Text("Seite abgelaufen", "Page expired"),
    "no_token": Text("Anmeldung erforderlich", "Login required"),
    "no_principal": Text("Anmeldung erforderlich", "Login required"),
    "foreign_principal": Text("Anmeldung erforderlich", "Login required"),
    "access_token_invalid": Text("Anmeldung erforderlich", "Login required"),
    "access_token_expired": Text("Anmeldung abgelaufen", "Login expired"),
    "access_token_revoked": Text("Anmeldung beendet", "Login ended"),
    "foreign_token": Text("Anmeldung erforderlich", "Login required"),
    "session_ended": Text("Anmeldung beendet", "Login ended"),
    "refresh_token_invalid": Text("Anmeldung erforderlich", "Login required"),
    "refresh_token_reused": Text("Anmeldung beendet", "Login ended"),
    "tokens_of_two_sessions": Text("Anmeldung erforderlich", "Login required"),
    "foreign_session": Text("Keine Berechtigung", "Not allowed"),
    "missing_right": Text("Keine Berechtigung", "Not allowed"),
    "key_misuse": Text("Idempotency-Key bereits verwendet", "Idempotency-Key already used"),
    "already_exists": Text("Gibt es schon", "Already exists"),
    "claim_taken": Text("Wert bereits vergeben", "Value already taken"),
    "settings_mismatch": Text("Einstellungen inzwischen geändert", "Settings changed meanwhile"),
    "item_mismatch": Text("Am Tisch inzwischen geändert", "Changed at the table in the meantime"),
    "version_mismatch": Text("Inzwischen geändert", "Changed in the meantime"),
    "instance_closed": Text("Mandant geschlossen", "Instance closed"),
    "event_too_large": Text("Vorgang zu groß", "Too much at once"),
    "too_many_events": Text("Vorgang zu groß", "Too much at once"),
    "request_too_large": Text("Anfrage zu groß", "Request too large"),
    "reply_too_large": Text("Antwort zu groß", "Answer too large"),
    "message_too_large": Text("Anfrage zu groß", "Request too large"),
    "hint_too_large": Text("Anfrage zu groß", "Request too large"),
    "answer_is_a_stream": Text("Ungültige Anfrage", "Invalid request"),
    "query_too_costly": Text("Abfrage zu aufwendig", "Query too costly"),
    "row_not_found": Text("Datensatz nicht gefunden", "Row not found"),
    "row_gone": Text("Datensatz nicht mehr da", "Row is gone"),
    "parent_gone": Text("Übergeordneter Datensatz nicht da", "Row above is gone"),
    "ids_taken": Text("IDs vergeben", "IDs are taken"),
    "too_much_refers": Text("Zu viele Verweise", "Too many references"),
    "serial_in_stock": Text("Seriennummer schon auf Lager", "Serial number is in stock already"),
    "stock_depleted": Text("Bestand reicht nicht", "Not enough in stock"),
    "coupon_used": Text("Gutscheincode eingelöst", "Coupon code is used"),
    "coupon_inactive": Text("Gutschein nicht aktiv", "Coupon is not active"),
    "coupon_not_valid": Text("Gutschein nicht gültig", "Coupon is not valid"),
    "row_in_use": Text("Datensatz wird verwendet", "Row is in use"),
    "id_present": Text("ID vorhanden", "ID is present"),
    "id_differs": Text("Andere ID", "Another ID"),
    "key_reads_only": Text("Der Schlüssel darf nur lesen", "The key may only read"),
    "log_stands_still": Text("Buchungen angehalten", "Nothing is booked for now"),
    "internal": Text("Interner Fehler", "Internal error"),
}
_NOT_READY: Final = Text("Dienst nicht erreichbar", "Service unavailable")
UNAVAILABLE: Final[Mapping[str, Text]] = dict.fromkeys(
    (
        "auth_silent",
        "blobs_unreachable",
        "bus_congested",
        "bus_disconnected",
        "bus_unreachable",
        "connection_lost",
        "envelope_unknown",
        "file_missing",
        "jetstream_refused",
        "jetstream_silent",
        "log_unreachable",
        "newer_events",
        "no_responders",
        "overloaded",
        "read_database_unreachable",
        "reader_stopped",
        "row_moved",
        "shutting_down",
        "stream_broken",
        "superseded",
        "tables_not_ready",
        "timeout",
        "too_many_requests",
    ),
    _NOT_READY,
)

# reason → what exactly, where the headline does not say it all
DETAILS: Final[Mapping[str, Text]] = {
    "query_too_costly": Text(
        "Die Abfrage dauerte länger als {max} ms; bitte einfachere Muster oder engere Filter",
        "The query took more than {max} ms; use simpler patterns or narrower filters",
    ),
    "row_not_found": Text("Einen Datensatz mit ID '{id}' gibt es nicht", "There is no row with ID '{id}'"),
    "parent_gone": Text("Worauf '{field}' verweist, gibt es nicht", "What '{field}' refers to does not exist"),
    "ids_taken": Text("Die nächsten IDs sind schon vergeben; bitte wiederholen", "The next IDs are taken already; please repeat"),
    "too_much_refers": Text(
        "Mehr als {max} Datensätze verweisen darauf; bitte zuerst diese löschen oder ändern",
        "More than {max} rows refer to it; please delete or change those first",
    ),
    "serial_in_stock": Text("'{serial}' ist schon auf Lager", "'{serial}' is in stock already"),
    "stock_depleted": Text("Davon sind nur {available} da", "There are only {available} of it"),
    "coupon_used": Text(
        "Der Code gehört schon zu Vorgang {transaction}; er wird frei, wenn er keinen mehr nennt",
        "The code belongs to transaction {transaction} already; it is free again once it names none",
    ),
    "coupon_inactive": Text(
        "Der Code oder sein Gutschein ist storniert oder abgeschaltet", "The code or its coupon is cancelled or deactivated"
    ),
    "coupon_not_valid": Text("Der Code gilt noch nicht oder nicht mehr", "The code is not valid yet, or not any more"),
    "log_stands_still": Text(
        "Dem Protokoll fehlen Buchungen, die es schon hatte; der Betreiber muss entscheiden, wie es weitergeht (theke log new-life)",
        "The log lacks bookings that it had before; the operator has to decide how to go on (theke log new-life)",
    ),
    "row_gone": Text("Der Datensatz mit ID '{id}' ist nach dem Schreiben nicht mehr da", "The row with ID '{id}' is gone after the write"),
    "malformed_json": Text("Der Inhalt ist ab Byte {byte} kein gültiges JSON", "The body is not valid JSON from byte {byte} on"),
    "json_too_deep": Text("Der Inhalt ist tiefer als {max} Ebenen verschachtelt", "The body is nested deeper than {max} levels"),
    "json_key_repeated": Text("Der Schlüssel '{key}' kommt in einem Objekt doppelt vor", "The key '{key}' occurs twice in an object"),
    "malformed_request": Text("Die Anfrage ist kein gültiges HTTP", "The request is not valid HTTP"),
    "header_too_large": Text("Zeile oder Kopffeld über {max} Byte", "A line or header has more than {max} bytes"),
    "expectation_unknown": Text("Möglich ist nur Expect: 100-continue", "Only Expect: 100-continue is possible"),
    "body_unreadable": Text("Der Inhalt passt nicht zu Content-Encoding", "The body does not match its Content-Encoding"),
    "body_too_slow": Text("Der Inhalt kam nicht innerhalb von {max} s", "The body did not arrive within {max} s"),
    "wrong_content_type": Text(
        "Erwartet wird Content-Type: application/json (UTF-8)", "Content-Type: application/json (UTF-8) is expected"
    ),
    "body_too_large": Text("Der Inhalt darf höchstens {max} Byte haben", "The body may have {max} bytes at most"),
    "route_not_found": Text("'{path}' gibt es nicht", "There is no '{path}'"),
    "method_not_allowed": Text("Erlaubt: {allowed}", "Allowed: {allowed}"),
    "article_not_found": Text("Artikel mit ID '{id}' existiert nicht", "There is no article with id '{id}'"),
    "article_group_not_found": Text("Artikelgruppe mit ID '{id}' existiert nicht", "There is no article group with id '{id}'"),
    "option_template_not_found": Text("Optionsvorlage mit ID '{id}' existiert nicht", "There is no option template with id '{id}'"),
    "option_template_in_use": Text("Die Vorlage '{id}' gehört zu Artikeln", "Template '{id}' belongs to articles"),
    "price_rule_not_found": Text("Preisregel mit ID '{id}' existiert nicht", "There is no price rule with id '{id}'"),
    "price_rule_in_use": Text("Die Preisregel '{id}' wird verwendet", "Price rule '{id}' is in use"),
    "article_without_image": Text("Artikel '{id}' hat kein Bild", "Article '{id}' has no image"),
    "wrong_image_type": Text("Erlaubt sind {allowed} oder ein Formular", "Allowed are {allowed} or a form"),
    "not_an_image": Text("JPEG, PNG oder WebP, unbeschädigt", "JPEG, PNG or WebP, undamaged"),
    "image_too_large": Text("Höchstens {max} Megapixel", "{max} megapixels at most"),
    "file_too_large": Text("Höchstens {max} Byte", "{max} bytes at most"),
    "expanded_too_large": Text(
        "Die Dateien einer Antwort dürfen zusammen höchstens {max} Byte haben",
        "The files of one answer may have {max} bytes at most together",
    ),
    "too_many_records": Text("Höchstens {max} davon sind möglich", "There may be {max} of them at most"),
    "list_too_long": Text(
        "Mehr als {max} Zeilen; bitte seitenweise mit 'page' und 'pageSize' abrufen",
        "More than {max} rows; read them page by page with 'page' and 'pageSize'",
    ),
    "changes_unknown": Text(
        "Der Stand '{since}' ist hier nicht bekannt; bitte alles neu laden", "State '{since}' is not known here; load everything anew"
    ),
    "webhook_not_found": Text("Webhook mit ID '{id}' existiert nicht", "There is no webhook with id '{id}'"),
    "service_not_sent": Text("Ereignisse von '{service}' werden nicht dorthin gesendet", "Events of '{service}' are not sent there"),
    "position_unknown": Text(
        "Das Protokoll endet bei {head}; nach {after} kommt nichts", "The log ends at {head}; nothing comes after {after}"
    ),
    "article_group_in_use": Text("Der Gruppe '{id}' sind Artikel oder Gruppen zugeordnet", "Articles or groups belong to group '{id}'"),
    "article_inactive": Text("Artikel '{name}' ({id}) ist nicht aktiv", "Article '{name}' ({id}) is not active"),
    "tax_class_without_rate": Text("Für Steuerklasse {id} gilt heute kein Satz", "No rate is in force today for tax class {id}"),
    "tax_rate_not_found": Text("Steuersatz mit ID '{id}' existiert nicht", "There is no tax rate with id '{id}'"),
    "table_not_found": Text("Tisch mit ID '{id}' existiert nicht", "There is no table with id '{id}'"),
    "table_inactive": Text("Tisch '{id}' ist nicht aktiv", "Table '{id}' is not active"),
    "table_not_occupied": Text("An Tisch '{id}' ist nichts offen", "Nothing is open at table '{id}'"),
    "table_needs_cleaning": Text("Tisch '{id}' ist noch nicht gereinigt", "Table '{id}' has not been cleaned yet"),
    "table_needs_no_cleaning": Text("Tisch '{id}' wartet nicht auf Reinigung", "Table '{id}' is not waiting to be cleaned"),
    "table_occupied": Text("An Tisch '{id}' ist noch etwas offen", "Something is still open at table '{id}'"),
    "table_code_invalid": Text("Dieser Tischcode ist nicht von hier", "This table code was not made here"),
    "table_group_not_found": Text("Tischgruppe mit ID '{id}' existiert nicht", "There is no table group with id '{id}'"),
    "table_group_in_use": Text("Der Gruppe '{id}' sind Tische zugeordnet", "Tables belong to group '{id}'"),
    "course_not_ordered": Text("Für Gang {course} ist nichts bestellt", "Nothing was ordered for course {course}"),
    "line_not_found": Text("Position mit ID '{id}' ist nicht offen", "There is no open item with id '{id}'"),
    "line_moved_on": Text(
        "Position '{id}' wurde inzwischen verschoben, bezahlt oder storniert", "Item '{id}' has been moved, paid or cancelled meanwhile"
    ),
    "line_begun": Text("An Position '{id}' wird schon gearbeitet; mehr davon neu bestellen", "Item '{id}' is being made; order more of it"),
    "line_held": Text("Position '{id}' wartet auf den Abruf von Gang {course}", "Item '{id}' waits for course {course} to be called"),
    "line_quantity_exceeds_open": Text("Von Position '{id}' sind nur {open} offen", "Only {open} of item '{id}' are open"),
    "too_many_open_lines": Text("Höchstens {max} Positionen auf einmal", "{max} items at once at most"),
    "nothing_to_pay": Text("An Tisch '{id}' ist nichts offen", "Nothing is open at table '{id}'"),
    "payment_short": Text("Zu zahlen {due}, es fehlen {missing}", "{due} is due, {missing} is missing"),
    "change_exceeds_cash": Text(
        "Zu zahlen {due}; Rückgeld {change}, aber nur {cash} bar gegeben",
        "{due} is due; change {change}, but only {cash} was given in cash",
    ),
    "payment_type_not_accepted": Text("Zahlart {type} ist noch nicht möglich", "Payment type {type} is not possible yet"),
    "payment_type_not_offline": Text(
        "Zahlart {type} braucht eine Verbindung, während der Gast zahlt; bitte anders kassieren",
        "Payment type {type} needs a connection at the time of the payment; please take it another way",
    ),
    "tender_declined": Text(
        "Zahlart {type} wurde abgelehnt; nichts wurde belastet (Zahlung '{payment}')",
        "Payment type {type} was declined; nothing was charged (payment '{payment}')",
    ),
    "tender_account_unknown": Text(
        "Zahlart {type}: dieses Konto gibt es nicht; nichts wurde belastet (Zahlung '{payment}')",
        "Payment type {type}: there is no such account; nothing was charged (payment '{payment}')",
    ),
    "tender_account_blocked": Text(
        "Zahlart {type}: das Konto ist gesperrt; nichts wurde belastet (Zahlung '{payment}')",
        "Payment type {type}: the account is blocked; nothing was charged (payment '{payment}')",
    ),
    "tender_account_expired": Text(
        "Zahlart {type}: das Konto ist abgelaufen; nichts wurde belastet (Zahlung '{payment}')",
        "Payment type {type}: the account has expired; nothing was charged (payment '{payment}')",
    ),
    "tender_balance_too_low": Text(
        "Zahlart {type}: das Guthaben reicht nicht; nichts wurde belastet (Zahlung '{payment}')",
        "Payment type {type}: the balance is too low; nothing was charged (payment '{payment}')",
    ),
    "payment_under_way": Text(
        "Zahlung '{payment}' läuft noch; mit demselben Idempotency-Key noch einmal fragen",
        "Payment '{payment}' is still under way; ask again with the same Idempotency-Key",
    ),
    "bill_changed": Text(
        "Der Betrag ist nicht mehr der, der angefragt wurde; nichts wurde belastet (Zahlung '{payment}')",
        "The amount is no longer the one that was asked for; nothing was charged (payment '{payment}')",
    ),
    "payment_given_up": Text(
        "Zahlung '{payment}' fand kein Ende; nichts wurde belastet, bitte neu kassieren",
        "Payment '{payment}' found no end; nothing was charged, please take it anew",
    ),
    "refund_exceeds_tender": Text("Auf Zahlart {type} gehen höchstens {kept} zurück", "At most {kept} go back to payment type {type}"),
    "receipt_not_found": Text("Beleg mit ID '{id}' existiert nicht", "There is no receipt with id '{id}'"),
    "receipt_is_a_void": Text("Beleg '{id}' ist selbst ein Stornobeleg", "Receipt '{id}' is a void itself"),
    "receipt_already_voided": Text("Beleg '{id}' wurde mit '{void_receipt}' storniert", "Receipt '{id}' was voided by '{void_receipt}'"),
    "receipt_is_a_refund": Text("Beleg '{id}' erstattet selbst '{refunds}'", "Receipt '{id}' refunds '{refunds}' itself"),
    "receipt_partly_refunded": Text(
        "Von Beleg '{id}' wurde mit '{refund_receipt}' schon etwas erstattet; den Rest bitte auch erstatten",
        "Parts of receipt '{id}' were refunded by '{refund_receipt}'; refund the rest as well",
    ),
    "customer_not_found": Text("Kunde mit ID '{id}' existiert nicht", "There is no customer with id '{id}'"),
    "too_many_copies": Text("Von Beleg '{id}' gibt es schon {max} Kopien", "There are {max} copies of receipt '{id}' already"),
    "no_business_meal": Text(
        "Beleg '{id}' ist storniert oder nimmt selbst einen Beleg zurück", "Receipt '{id}' is voided, or takes another one back itself"
    ),
    "too_many_hospitalities": Text(
        "Die Angaben auf Beleg '{id}' wurden schon {max}-mal gemacht", "This was noted on receipt '{id}' {max} times already"
    ),
    "too_many_mails": Text("Beleg '{id}' wurde schon {max}-mal versandt", "Receipt '{id}' was mailed {max} times already"),
    "mail_not_configured": Text(
        "Es fehlt der Postausgangsserver in den Einstellungen (mail.host)", "The settings name no mail server (mail.host)"
    ),
    "mail_recipient_refused": Text("Der Mailserver nimmt für diese Adresse nichts an", "The mail server takes nothing for this address"),
    "mail_server_unreachable": Text(
        "Der Mailserver ist nicht erreichbar, oder sein Zertifikat ist ungültig",
        "The mail server cannot be reached, or its certificate is invalid",
    ),
    "mail_server_timeout": Text("Der Mailserver hat nicht rechtzeitig geantwortet", "The mail server did not answer in time"),
    "mail_login_refused": Text("Der Mailserver weist Benutzer oder Passwort ab", "The mail server refuses user or password"),
    "mail_refused": Text("Der Mailserver hat den Beleg nicht angenommen", "The mail server did not take the receipt"),
    "secret_unreadable": Text("Das Passwort ist nicht lesbar; bitte neu eingeben", "The password cannot be read; please enter it anew"),
    "nothing_to_refund": Text("Beleg '{id}' ist ganz erstattet", "Receipt '{id}' is refunded completely"),
    "line_quantity_exceeds_left": Text("Von Position '{id}' sind noch {left} übrig", "{left} of line '{id}' are left"),
    "refund_not_exact": Text("Zurückzugeben sind genau {due}", "Exactly {due} is to be given back"),
    "no_open_shift": Text("Bitte zuerst eine Schicht öffnen", "Open a shift first"),
    "register_numbers_itself": Text(
        "Kasse '{id}' nummeriert ihre Belege selbst; sie werden mit ihrer Nummer über /sync gebucht",
        "Register '{id}' numbers its receipts itself; they are booked with their number through /sync",
    ),
    "register_takes_numbers": Text("Belege der Kasse '{id}' nummeriert Theke", "Receipts of register '{id}' are numbered by Theke"),
    "register_has_receipts": Text(
        "Kasse '{id}' hat schon Belege; wer sie nummeriert, ändert sich nicht mehr",
        "Register '{id}' has receipts already; who numbers them does not change any more",
    ),
    "register_stays_offline": Text(
        "Kasse '{id}' nummeriert ihre Belege selbst; das bleibt so", "Register '{id}' numbers its receipts itself; that stays so"
    ),
    "shift_not_found": Text("Schicht mit ID '{id}' existiert nicht oder ist abgerechnet", "There is no open shift with id '{id}'"),
    "shift_already_open": Text("Mitarbeiter '{id}' hat schon eine offene Schicht", "User '{id}' has an open shift already"),
    "shift_already_settled": Text("Schicht '{id}' ist abgerechnet", "Shift '{id}' is settled"),
    "shift_not_settled": Text(
        "Schicht '{id}' von '{staff}' an Kasse '{register}' ist noch abzurechnen",
        "Shift '{id}' of '{staff}' at register '{register}' is still to be settled",
    ),
    "too_many_open_shifts": Text("Höchstens {max} Schichten sind zugleich offen", "At most {max} shifts may be open at once"),
    "day_already_closed": Text("Der {date} ist abgeschlossen", "{date} is closed"),
    "open_tables": Text(
        "{count} Tische sind noch offen; mit confirm 'openTables' trotzdem abschließen",
        "{count} tables are still open; confirm 'openTables' to close the day all the same",
    ),
    "no_day_closing": Text("Der Tag wurde inzwischen abgeschlossen", "The day was closed meanwhile"),
    "z_report_not_found": Text("Tagesabschluss mit ID '{id}' existiert nicht", "There is no end-of-day report with id '{id}'"),
    "report_too_large": Text(
        "Mehr als {max} Zeilen; bitte einen kürzeren Zeitraum wählen", "More than {max} rows; please ask for fewer days"
    ),
    "user_inactive": Text("Mitarbeiter '{id}' ist nicht aktiv", "User '{id}' is not active"),
    "group_not_found": Text("Es gibt keine Gruppe '{id}'", "There is no group '{id}'"),
    "user_not_found": Text("Mitarbeiter mit ID '{id}' existiert nicht", "There is no user with id '{id}'"),
    "credentials_wrong": Text("Benutzername oder Passwort falsch", "User name or password is wrong"),
    "application_not_found": Text("Anwendung '{id}' existiert nicht", "There is no application '{id}'"),
    "application_in_use": Text("Anwendung '{id}' wird noch verwendet", "Application '{id}' is still in use"),
    "instance_open": Text("Mandant '{id}' ist nicht geschlossen", "Instance '{id}' is not closed"),
    "instance_not_found": Text("Mandant '{id}' existiert nicht", "There is no instance '{id}'"),
    "last_admin": Text(
        "Ohne Mitarbeiter '{id}' könnte niemand mehr den Betrieb verwalten",
        "Without user '{id}' nobody could administer the house any more",
    ),
    "card_taken": Text("Diese Karte gehört einem anderen Mitarbeiter", "This card belongs to another user"),
    "too_fast": Text("Bitte {seconds} s warten", "Please wait {seconds} s"),
    "too_many_tries": Text("Bitte {seconds} s warten oder anders anmelden", "Please wait {seconds} s or log in another way"),
    "default_credentials": Text(
        "Dieses Passwort kennt jeder; ein Administrator muss ein neues setzen",
        "Everybody knows this password; an administrator has to set a new one",
    ),
    "client_unknown": Text("Anwendung oder Geheimnis unbekannt", "Unknown application or secret"),
    "no_client": Text("Es fehlen client_id und client_secret", "client_id and client_secret are missing"),
    "code_invalid": Text("Der Code ist ungültig, abgelaufen oder verbraucht", "The code is invalid, expired or spent"),
    "grant_type_unknown": Text("Diesen grant_type gibt es hier nicht", "This grant_type is not offered"),
    "page_too_old": Text("Bitte die Anmeldung in der Anwendung neu beginnen", "Please begin again in the application"),
    "no_token": Text("Es fehlt Authorization: Bearer …", "Authorization: Bearer … is missing"),
    "access_token_invalid": Text("Das Zugriffstoken ist ungültig", "The access token is invalid"),
    "access_token_expired": Text("Das Zugriffstoken ist abgelaufen", "The access token has expired"),
    "access_token_revoked": Text("Das Zugriffstoken wurde widerrufen", "The access token was revoked"),
    "foreign_token": Text("Das Token gehört zu einem anderen Mandanten", "The token belongs to another instance"),
    "session_ended": Text("Die Sitzung ist beendet", "The session has ended"),
    "refresh_token_invalid": Text("Das Refresh-Token ist ungültig", "The refresh token is invalid"),
    "refresh_token_reused": Text(
        "Das Refresh-Token war verbraucht oder abgelaufen; die Sitzung ist beendet",
        "The refresh token was spent or expired, the session has ended",
    ),
    "tokens_of_two_sessions": Text(
        "Zugriffs- und Refresh-Token gehören nicht zusammen", "The access token and the refresh token do not belong together"
    ),
    "missing_right": Text("Es fehlt das Recht '{right}'", "The right '{right}' is missing"),
    "key_misuse": Text(
        "Derselbe Idempotency-Key kam mit anderem Inhalt; nichts wurde geändert",
        "This Idempotency-Key came with another body before; nothing was changed",
    ),
    "claim_taken": Text("Feld '{field}': '{value}' ist bereits vergeben", "Field '{field}': '{value}' is already taken"),
    "settings_mismatch": Text(
        "Die Einstellungen wurden inzwischen geändert; bitte neu lesen", "The settings were changed meanwhile; read them again"
    ),
    "item_mismatch": Text(
        "Am Tisch der Position '{id}' ist inzwischen etwas geschehen; bitte neu lesen",
        "Something happened at the table of item '{id}' meanwhile; read it again",
    ),
    "version_mismatch": Text("Der Datensatz steht bei Version {version}", "The record is at version {version}"),
    "event_too_large": Text("Höchstens {limit_kib} KiB je Vorgang", "{limit_kib} KiB per operation at most"),
    "request_too_large": Text("Höchstens {max_bytes} Byte", "{max_bytes} bytes at most"),
    "reply_too_large": Text("Höchstens {max_bytes} Byte", "{max_bytes} bytes at most"),
    "internal": Text("Bitte mit der Vorgangsnummer {trace} melden", "Please report it with trace id {trace}"),
}

# a field's reason → phrase behind the field's name
FIELDS: Final[Mapping[str, Text]] = {
    "required": Text("fehlt", "is required"),
    "unknown_field": Text("ist kein Feld", "is not a field"),
    "malformed": Text("hat die falsche Form: {detail}", "has the wrong form: {detail}"),
    "expected_text": Text("muss Text sein", "must be text"),
    "expected_integer": Text("muss eine ganze Zahl sein", "must be an integer"),
    "expected_number": Text("muss eine Zahl sein", "must be a number"),
    "expected_boolean": Text("muss true oder false sein", "must be true or false"),
    "expected_date": Text("muss ein Datum sein (JJJJ-MM-TT)", "must be a date (YYYY-MM-DD)"),
    "expected_list": Text("muss eine Liste sein", "must be a list"),
    "expected_object": Text("muss ein Objekt sein", "must be an object"),
    "invalid_item": Text("ist ungültig: {detail}", "is invalid: {detail}"),
    "out_of_range": Text("muss zwischen {min} und {max} liegen", "must be between {min} and {max}"),
    "not_allowed": Text("muss einer dieser Werte sein: {allowed}", "must be one of: {allowed}"),
    "not_known": Text("kennt den Wert '{value}' nicht", "does not know the value '{value}'"),
    "not_a_key": Text("ist keine ID", "is not an id"),
    "not_a_time": Text(
        "muss ein Zeitpunkt mit Zeitzone sein (2026-03-05T18:30:00Z)", "must be a moment with a time zone (2026-03-05T18:30:00Z)"
    ),
    "not_a_day": Text(
        "muss ein Tag (2026-03-05) oder ein Zeitpunkt mit Zeitzone sein", "must be a day (2026-03-05) or a moment with a time zone"
    ),
    "from_after_to": Text("darf nicht nach 'to' liegen", "must not be after 'to'"),
    "range_too_long": Text("darf höchstens {max} Tage umfassen", "may span {max} days at most"),
    "too_long": Text("darf höchstens {max} Zeichen haben", "may have {max} characters at most"),
    "too_short": Text("muss mindestens {min} Zeichen haben", "must have {min} characters at least"),
    "too_many": Text("darf höchstens {max} Einträge haben", "may have {max} entries at most"),
    "too_many_places": Text("darf höchstens {max} Nachkommastellen haben", "may have {max} decimal places at most"),
    "empty": Text("darf nicht leer sein", "must not be empty"),
    "unprintable": Text("enthält Steuerzeichen", "contains control characters"),
    "in_the_future": Text("liegt in der Zukunft", "is in the future"),
    "too_long_ago": Text("liegt mehr als {max} Tage zurück", "is more than {max} days ago"),
    "not_a_host": Text("ist kein Name eines Rechners", "is not the name of a host"),
    "not_an_address": Text("ist keine E-Mail-Adresse", "is not an e-mail address"),
    "not_a_time_of_day": Text("muss eine Uhrzeit sein (HH:MM)", "must be a time of day (HH:MM)"),
    "not_a_whole_minute": Text("muss eine Uhrzeit auf die Minute sein", "must be a time of day on a whole minute"),
    "warning_unknown": Text("ist keine Warnung, die bestätigt werden kann", "is no warning that can be confirmed"),
    "day_in_future": Text("liegt in der Zukunft: {date}", "is in the future: {date}"),
    "not_a_web_address": Text(
        "muss eine Adresse mit https:// sein, ohne Benutzer und ohne '#'",
        "must be an address with https://, without a user and without '#'",
    ),
    "address_private": Text("ist keine öffentliche Adresse", "is not a public address"),
    "not_a_webhook_secret": Text(
        "muss mit whsec_ beginnen, dahinter 24 bis 64 Bytes in Base64", "must begin with whsec_, then 24 to 64 bytes in Base64"
    ),
    "repeated": Text("kommt doppelt vor", "occurs twice"),
    "not_a_tag": Text("ist kein ETag", "is no ETag"),
    "required_with": Text("fehlt; {other} verlangt das Feld", "is missing; {other} requires it"),
    "must_be": Text("muss {value} sein, solange {other} so ist", "must be {value} as long as {other} is as it is"),
    "one_required": Text("fehlt; eines ist nötig von: {fields}", "is missing; one is needed of: {fields}"),
    "only_one": Text("höchstens eines darf gesetzt sein von: {fields}", "at most one may be set of: {fields}"),
    "only_together": Text("fehlt; nur gemeinsam erlaubt: {fields}", "is missing; allowed only together: {fields}"),
    "before": Text("liegt vor {other}", "is before {other}"),
    "same_as": Text("darf nicht gleich {other} sein", "must not be the same as {other}"),
    "zero": Text("darf nicht 0 sein", "must not be 0"),
    "not_positive": Text("muss größer als 0 sein, wenn {other} gesetzt ist", "must be greater than 0 when {other} is set"),
    "expected_file": Text(
        'muss {{"content": Base64}} oder {{"uri": Data-URI}} sein', 'must be {{"content": Base64}} or {{"uri": data URI}}'
    ),
    "not_base64": Text("ist kein Base64 nach RFC 4648", "is no Base64 as in RFC 4648"),
    "not_data_uri": Text("muss mit data:…;base64, beginnen", "must begin with data:…;base64,"),
    "file_empty": Text("darf nicht leer sein", "must not be empty"),
    "too_deep": Text("ist tiefer als {max} Ebenen geschachtelt", "is nested more than {max} levels deep"),
    "expected_json": Text("muss ein JSON-Objekt oder eine JSON-Liste sein", "must be a JSON object or a JSON list"),
    "not_comparable": Text("lässt sich nicht vergleichen oder sortieren", "cannot be compared or sorted by"),
    "no_such_row": Text("verweist auf {id}, das es nicht gibt", "refers to {id}, which does not exist"),
    "not_a_model": Text("muss auf einen anderen Artikel vom Typ MODEL verweisen", "must refer to another item of type MODEL"),
    "fixed": Text("lässt sich nach dem Anlegen nicht mehr ändern", "cannot be changed once the row exists"),
    "positive": Text("muss größer als 0 sein", "must be greater than 0"),
    "not_of_this_item": Text("hat ein Artikel dieses Typs nicht", "is not what an item of this type has"),
    "one_serial_each": Text("muss je Stück eine andere Seriennummer nennen", "must name a different serial number for each piece"),
    "not_dunnable": Text("ist keine Rechnung oder Gutschrift", "is neither an invoice nor a credit"),
    "not_with": Text("geht nicht zusammen mit {other}", "does not go with {other}"),
    "own_ancestor": Text("würde über sich selbst stehen", "would stand above itself"),
    "tree_too_deep": Text("ergibt mehr als {max} Ebenen", "makes more than {max} levels"),
    "not_a_fraction": Text("muss ein Bruch unter 1 sein (1/2)", "must be a fraction below 1 (1/2)"),
    "not_a_clock_time": Text("muss eine Uhrzeit sein (18:30)", "must be a time of day (18:30)"),
    "either_this_or": Text("genau eines von beiden: dieses oder {other}", "exactly one of the two: this or {other}"),
    "same_as_begin": Text("darf nicht der Beginn sein", "must not be the beginning"),
    "before_begin": Text("liegt vor dem Beginn", "lies before the beginning"),
    "price_below_zero": Text("machen den Preis negativ", "make the price negative"),
    "not_with_article": Text("geht nicht zusammen mit articleId", "does not go with articleId"),
    "tax_class_unknown": Text("ist keine Steuerklasse", "is not a tax class"),
    "one_fraction_only": Text("teilen den Artikel mehr als einmal", "divide the article more than once"),
    "too_few_choices": Text("'{template}': mindestens {min} auswählen", "'{template}': choose {min} at least"),
    "too_many_choices": Text("'{template}': höchstens {max} auswählen", "'{template}': choose {max} at most"),
    "option_not_offered": Text("gehört nicht zu diesem Artikel", "does not belong to this article"),
    "either_items_or_seat": Text("geht nicht zusammen mit items", "does not go with items"),
    "same_table": Text("ist derselbe Tisch", "is the same table"),
    "either_percent_or_amount": Text("geht nicht zusammen mit discountPercent", "does not go with discountPercent"),
    "amount_too_large": Text("ergibt einen zu großen Betrag", "makes the amount too large"),
    "payment_type_unknown": Text("ist keine Zahlart", "is not a payment type"),
    "not_a_pin": Text("muss aus {digits} Ziffern bestehen", "must consist of {digits} digits"),
    "not_a_card_id": Text("muss {min} bis {max} Ziffern und Buchstaben A-Z haben", "must have {min} to {max} digits and letters A-Z"),
    "password_common": Text("ist zu einfach zu erraten", "is too easy to guess"),
    "instance_name": Text(
        "muss 2 bis 31 Zeichen a-z, 0-9 oder - haben und mit einem Buchstaben beginnen",
        "must have 2 to 31 characters a-z, 0-9 or - and begin with a letter",
    ),
    "reserved_name": Text("ist reserviert", "is reserved"),
    "operator_unknown": Text("kennt den Operator '{operator}' nicht", "does not know the operator '{operator}'"),
    "null_has_no_order": Text("'{operator}' geht nicht mit null", "'{operator}' does not go with null"),
    "nested_too_deep": Text("darf höchstens {max} Gruppen tief sein", "may be {max} groups deep at most"),
    "bad_pattern": Text("ist kein gültiges Suchmuster", "is not a valid pattern"),
    "too_many_patterns": Text("ist mehr als das {max}. Suchmuster", "is beyond the {max} patterns of a query"),
    "bad_alias": Text("ein Name darf höchstens {max} druckbare Zeichen haben", "a name may have {max} printable characters at most"),
    "sort_not_selected": Text("muss bei distinct auch in fields stehen", "has to be among the fields of a distinct query"),
    "not_offered": Text("gibt es hier nicht", "is not offered"),
    "only_read": Text("kann nicht geschrieben werden", "cannot be written"),
}

_FIELD: Final = Text("Feld '{path}': {phrase}", "Field '{path}': {phrase}")
_BODY: Final = Text("Inhalt: {phrase}", "Body: {phrase}")
_UNNAMED: Final = Text("Fehler: {reason}", "Error: {reason}")


def headline(error: DomainError, language: Language) -> str:
    text = HEADLINES.get(error.reason) or UNAVAILABLE.get(error.reason) or HEADLINES["internal"]
    return text(language, error.params)


def details(error: DomainError, language: Language) -> list[str]:
    """What exactly is wrong: a sentence per field at fault, else one for the reason."""
    if error.fields:
        return [field_text(field, language) for field in error.fields]
    text = DETAILS.get(error.reason)
    return [text(language, error.params) if text else headline(error, language)]


def field_text(field: FieldError, language: Language) -> str:
    own = DETAILS.get(field.reason)
    if own is not None:
        return own(language, field.params)
    phrase = FIELDS.get(field.reason, _UNNAMED)(language, {"reason": field.reason, **field.params})
    return (_FIELD if field.path else _BODY)(language, {"path": field.path, "phrase": phrase})
