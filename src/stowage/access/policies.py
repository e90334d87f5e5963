"""Policy documents: what makes two of them the same, and what is wrong with one before a server sees it.

Pure functions over plain data; the rules of sameness follow AWS's policy grammar and what RustFS 1.0.0-beta.5 does to
a document it stores (arrays in random order, scalars made arrays, empty fields injected; facts/rustfs.md 1.6).
"""

from __future__ import annotations

import json
import re
from typing import Any

from stowage import errors
from stowage.access.actions import ActionRules, complaint
from stowage.outcome import Difference

Document = dict[str, Any]

VERSION = "2012-10-17"
_ACCOUNT_ROOT = re.compile(r"^arn:[^:]+:iam::(\d{12}):root$")
_STATEMENT_KEYS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"}
)
_TEXT_FIELDS = ("Sid", "Action", "NotAction", "Resource", "NotResource")
_ARN = "arn:aws:s3:::"
# The bucket part: a name, wildcards, or a policy variable such as ${aws:username}.
_RESOURCE = re.compile(rf"^{_ARN}[A-Za-z0-9.*?_${{}}:-]+(/.*)?$")


def parsed(document: str | Document, name: str) -> Document:
    """A document given as text or as data.

    Raises:
        BadInputError: Not JSON, not an object, or an object that names one field twice.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document, object_pairs_hook=_without_doubles)
        except ValueError as error:
            raise errors.BadInputError(f"policy {name}: document is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise errors.BadInputError(f"policy {name}: document is a {type(document).__name__}, must be an object")
    return document


def _without_doubles(pairs: list[tuple[str, Any]]) -> Document:
    """JSON's parsers keep the last of two fields of one name: the first, perhaps a Deny, would be lost silently."""
    names = [name for name, _ in pairs]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(doubles)} stands twice in one object")
    return dict(pairs)


def sendable(document: Document, rules: ActionRules) -> Document:
    """The form in which a document is sent: what servers disagree about is written in the one way all of them take.

    Lists instead of scalars, booleans and numbers of conditions as text, no empty fields, each list sorted. A name that
    is compared without case (condition keys, actions this module does not know) stays as it was written.

    Args:
        document: A policy document as written or as returned by a server.
        rules: Decides the spelling of actions and whether ``*`` means ``s3:*``.

    Returns:
        ``{"Version": ..., "Statement": [...]}``, with ``Id`` where the document has one.
    """
    identity = document.get("Id") or document.get("ID")
    return {**({"Id": identity} if identity else {}), **_normal(document, rules, fold=False)}


def canonical(document: Document, rules: ActionRules) -> Document:
    """The form in which two documents of the same meaning are equal: that of ``sendable`` without the case of names.

    Order of lists, scalar against one-element list, case of action and condition key names, empty fields injected by a
    server, the spellings of a principal: none of these survive. ``Sid`` does: it is part of what was asked for. ``Id``
    does not: it is a label that SeaweedFS drops and that grants nothing.

    Args:
        document: A policy document as written or as returned by a server.
        rules: Decides the spelling of actions and whether ``*`` means ``s3:*``.

    Returns:
        ``{"Version": ..., "Statement": [...]}`` with sorted, unique lists.
    """
    return _normal(document, rules, fold=True)


def _normal(document: Document, rules: ActionRules, *, fold: bool) -> Document:
    statements = [_normal_statement(one, rules, fold) for one in as_list(document.get("Statement"))]
    unique = {json.dumps(one, sort_keys=True): one for one in statements}
    return {"Version": document.get("Version") or "", "Statement": [unique[key] for key in sorted(unique)]}


def _normal_statement(statement: Document, rules: ActionRules, fold: bool) -> Document:
    made: Document = {"Effect": str(statement.get("Effect", "")).capitalize()}
    if statement.get("Sid"):
        made["Sid"] = statement["Sid"]
    for key in ("Action", "NotAction"):
        if actions := as_list(statement.get(key)):
            made[key] = sorted({_normal_action(str(one), rules, fold) for one in actions})
    for key in ("Resource", "NotResource"):
        if resources := as_list(statement.get(key)):
            made[key] = sorted({str(one) for one in resources})
    for key in ("Principal", "NotPrincipal"):
        if statement.get(key):
            made[key] = _normal_principal(statement[key])
    if conditions := _normal_conditions(statement.get("Condition") or {}, fold):
        made["Condition"] = conditions
    return made


def _normal_action(action: str, rules: ActionRules, fold: bool) -> str:
    if action == "*":
        return "s3:*" if rules.star_is_s3 else "*"
    known = rules.known_spelling(action)
    if known in rules.s3:
        return known
    return action.lower() if fold and not rules.case_sensitive else action


def _normal_principal(principal: Any) -> Document:
    """``"*"`` is ``{"AWS": ["*"]}``, an account id is its root ARN."""
    if not isinstance(principal, dict):
        principal = {"AWS": principal}
    made = {}
    for kind, values in principal.items():
        names = {_ACCOUNT_ROOT.sub(r"\1", str(one)) for one in as_list(values)}
        if names:
            made[kind] = sorted(names)
    return made


def _normal_conditions(conditions: Document, fold: bool) -> Document:
    made: Document = {}
    for operator, tests in conditions.items():
        keys: dict[str, set[str]] = {}
        for key, value in tests.items():
            values = value if isinstance(value, list | tuple) else [value]
            keys.setdefault(str(key).lower() if fold else str(key), set()).update(map(_condition_value, values))
        if keys:
            made[operator] = {key: sorted(values) for key, values in keys.items()}
    return made


def _condition_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_list(value: Any) -> list[Any]:
    """A scalar as a list of one, nothing as an empty list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def check(
    document: Document, name: str, rules: ActionRules, *, bucket_policy: bool = False, spelling: bool = True
) -> None:
    """Refuse, before the put, what the server would refuse or would silently not understand.

    Args:
        document: The policy as asked for.
        name: Of the policy, for the message.
        rules: Of the server that shall store it.
        bucket_policy: Bucket policies need a principal, identity policies must not have one.
        spelling: Refuse action names that the server does not know; all else is checked in any case.

    Raises:
        BadInputError: All complaints in one line, each with what would be right.
    """
    found: list[str] = []
    if document.get("Version") != VERSION:
        found.append(f"Version is {document.get('Version')!r}, right: {VERSION!r}")
    if unknown := sorted(set(document) - {"Version", "Statement", "Id", "ID"}):
        found.append(f"unknown field {', '.join(unknown)}")
    statements = as_list(document.get("Statement"))
    if not statements:
        found.append("no Statement")
    for number, statement in enumerate(statements, start=1):
        if not isinstance(statement, dict):
            found.append(f"statement {number} is no object")
            continue
        label = statement.get("Sid") or str(number)
        found += [
            f"statement {label}: {one}" for one in _statement_complaints(statement, rules, bucket_policy, spelling)
        ]
    if found:
        raise errors.BadInputError(f"policy {name}: " + "; ".join(found))


def _statement_complaints(statement: Document, rules: ActionRules, bucket_policy: bool, spelling: bool) -> list[str]:
    found = []
    if unknown := sorted(set(statement) - _STATEMENT_KEYS):
        found.append(f"unknown field {', '.join(unknown)}")
    if ignored := sorted(set(statement) & rules.ignored_fields):
        found.append(
            f"{rules.server} takes {', '.join(ignored)} and does not do what it says; "
            f"right: {', '.join(one.removeprefix('Not') for one in ignored)} with what is meant"
        )
    if statement.get("Effect") not in ("Allow", "Deny"):
        found.append(f"Effect is {statement.get('Effect')!r}, right: 'Allow' or 'Deny'")
    if wrong := [key for key in _TEXT_FIELDS if not _is_text(statement.get(key))]:
        return [*found, *(f"{key} must be text or a list of texts" for key in wrong)]
    actions = [one for key in ("Action", "NotAction") for one in as_list(statement.get(key))]
    if bool(as_list(statement.get("Action"))) == bool(as_list(statement.get("NotAction"))):
        found.append("needs exactly one of Action and NotAction")
    if spelling:
        found += [text for text in (complaint(one, rules) for one in sorted(set(actions))) if text]
    families = {one.partition(":")[0] for one in actions if ":" in one}
    if rules.single_family and len(families) > 1:
        found.append(f"mixes {' and '.join(sorted(families))} actions; {rules.server} wants one statement for each")
    found += _resource_complaints(statement, families, rules, bucket_policy)
    if bucket_policy != bool(statement.get("Principal") or statement.get("NotPrincipal")):
        found.append("needs a Principal" if bucket_policy else "has a Principal, which only bucket policies may")
    return found + _condition_complaints(statement.get("Condition") or {})


def _is_text(value: Any) -> bool:
    return value is None or all(isinstance(one, str) for one in (value if isinstance(value, list) else [value]))


def _condition_complaints(conditions: Any) -> list[str]:
    if not isinstance(conditions, dict) or not all(isinstance(tests, dict) for tests in conditions.values()):
        return ["Condition must be operators with keys and values, right: {StringEquals: {s3:prefix: [docs/]}}"]
    found = []
    for operator, tests in conditions.items():
        names = [str(key).lower() for key in tests]
        found += [f"{operator} names {one} twice" for one in sorted(set(names)) if names.count(one) > 1]
        for key, value in tests.items():
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(one, str | int | float) for one in values):
                found.append(f"{operator} of {key} needs text, a number, a boolean, or a list of them")
    return found


def _resource_complaints(statement: Document, families: set[str], rules: ActionRules, bucket_policy: bool) -> list[str]:
    resources = [str(one) for key in ("Resource", "NotResource") for one in as_list(statement.get(key))]
    if bool(as_list(statement.get("Resource"))) and bool(as_list(statement.get("NotResource"))):
        return ["has both Resource and NotResource"]
    if not resources:
        return ["needs a Resource"] if bucket_policy or families <= {"s3"} else []
    if families and not families <= {"s3"}:
        return []
    wrong = [one for one in resources if not _RESOURCE.match(one) and (one != "*" or not rules.bare_star_resource)]
    return [f"Resource {one!r} must be {_ARN} and a bucket, with /keys or without" for one in wrong]


def plan_policy(current: Document | None, wanted: Document | None, rules: ActionRules) -> list[Difference]:
    """What must change so that the stored document means what was asked for.

    Args:
        current: As the server returned it; ``None`` when there is none.
        wanted: As asked for; ``None`` when it shall be gone.
        rules: Of the server.

    Returns:
        Nothing, or one difference with both documents in canonical form.
    """
    before = canonical(current, rules) if current is not None else None
    after = canonical(wanted, rules) if wanted is not None else None
    return [] if before == after else [Difference("policy", before, after)]
