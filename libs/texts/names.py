"""Names of things that Theke knows by itself, as users read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.texts.catalogue import Text

# key of a way of paying (libs/contracts/pos/payment_kinds.py) → its name
PAYMENT_KINDS: Final[Mapping[str, Text]] = {
    "cash": Text("Bar", "Cash"),
    "card": Text("Karte", "Card"),
    "net_cash": Text("Bar netto", "Cash net"),
    "net_card": Text("Karte netto", "Card net"),
    "bank_transfer": Text("Überweisung", "Bank transfer"),
    "customer_credit": Text("Kundenguthaben", "Customer credit"),
    "voucher": Text("Gutschein", "Voucher"),
    "house_tab": Text("Auf Rechnung", "On account"),
}

WEEKDAYS: Final[Mapping[int, Text]] = {
    1: Text("Montag", "Monday"),
    2: Text("Dienstag", "Tuesday"),
    3: Text("Mittwoch", "Wednesday"),
    4: Text("Donnerstag", "Thursday"),
    5: Text("Freitag", "Friday"),
    6: Text("Samstag", "Saturday"),
    7: Text("Sonntag", "Sunday"),
}

# the page on which somebody lets an application act for them
AUTHORIZE: Final[Mapping[str, Text]] = {
    "title": Text("Anmelden", "Log in"),
    "message": Text("{name} möchte in Ihrem Namen auf diesen Betrieb zugreifen.", "{name} asks to act for you in this house."),
    "username": Text("Benutzername oder E-Mail-Adresse", "User name or e-mail address"),
    "password": Text("Passwort", "Password"),
    "button": Text("Anmelden und erlauben", "Log in and allow"),
    "refused": Text("Das geht so nicht", "This does not work"),
}
