"""What a log says is under way: kept while its entries pass, so that after a restore somebody can be asked for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.core.evidence.entries import Accepted, Commanded, Entry, Erased, Extended, Held, Leg, LegMoved, PartnerKey, Receipted
from gateway.core.operators import Command
from gateway.core.standing import Standing

STOPS: Final = {Command.PARTNER_PAUSE.value: Standing.PAUSED, Command.PARTNER_SUSPEND.value: Standing.SUSPENDED}
OVER: Final = frozenset({"delivered", "receipted", "refused", "cancelled", "expired"})  # a dead leg may be tried again


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """A leg that had not ended."""

    leg_id: str
    jti: str
    partner: str
    state: str


class Ledger:
    """The sum of a log's entries. Feed it from the first entry on."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.senders: dict[str, str] = {}  # partner → when its last message was accepted
        self.legs: dict[str, OpenLeg] = {}
        self.last_at = ""

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        self.last_at = max(self.last_at, entry.at)
        match entry:
            case Accepted() | Extended():
                if isinstance(entry, Accepted) and entry.digest is not None:  # else it is the gateway's own
                    self.senders[entry.iss] = entry.at
                for leg in entry.legs:
                    self._decided(leg)
            case LegMoved():
                self._moved(OpenLeg(entry.leg_id, entry.jti, entry.partner, entry.state))
            case Held():
                self._moved(OpenLeg(entry.leg_id, entry.jti, entry.partner, "held"))
            case Receipted():
                self.legs.pop(entry.leg_id, None)
            case _:
                pass

    def _decided(self, leg: Leg) -> None:
        self._moved(OpenLeg(leg.leg_id, leg.jti, leg.partner, leg.state))

    def _moved(self, leg: OpenLeg) -> None:
        if leg.state in OVER:
            self.legs.pop(leg.leg_id, None)
        else:
            self.legs[leg.leg_id] = leg


class Since:
    """What entries after the backup say: known only where somebody outside kept them."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.accepted: list[tuple[str, str]] = []  # (iss, jti) of messages of partners
        self.moved: dict[str, OpenLeg] = {}
        self.erased: list[Erased] = []
        self.keys: dict[str, PartnerKey] = {}  # kid → the last that was said of a key that a partner submitted
        self.stopped: dict[str, Standing] = {}  # partner → what the last command made of it, unless that let it go

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry:
            case Accepted() if entry.digest is not None:
                self.accepted.append((entry.iss, entry.jti))
            case LegMoved():
                self.moved[entry.leg_id] = OpenLeg(entry.leg_id, entry.jti, entry.partner, entry.state)
            case Receipted():
                self.moved[entry.leg_id] = OpenLeg(entry.leg_id, entry.jti, entry.partner, "receipted")
            case Erased():
                self.erased.append(entry)
            case PartnerKey():
                self.keys[entry.key] = entry
            case Commanded(partner=str(partner)) if entry.command in STOPS:
                self.stopped[partner] = STOPS[entry.command]
            case Commanded(partner=str(partner), command=Command.PARTNER_RESUME.value):
                self.stopped.pop(partner, None)
            case _:
                pass


def shown(leg: OpenLeg) -> dict[str, Any]:
    """Return a leg as a report shows it."""
    return {"leg": leg.leg_id, "jti": leg.jti, "partner": leg.partner, "state": leg.state}
