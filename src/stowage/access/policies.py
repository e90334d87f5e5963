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
_ARN = "arn:aws:s3:::"
# The bucket part: a name, wildcards, or a policy variable such as ${aws:username}.
_RESOURCE = re.compile(rf"^{_ARN}[A-Za-z0-9.*?_${{}}:-]+(/.*)?$")


def parsed(document: str | Document, name: str) -> Document:
    """A document given as text or as data.

    Raises:
        BadInputError: Not JSON, or not an object.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise errors.BadInputError(f"policy {name}: document is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise errors.BadInputError(f"policy {name}: document is a {type(document).__name__}, must be an object")
    return document


def canonical(document: Document, rules: ActionRules) -> Document:
    """The form in which two documents of the same meaning are equal.

    Order of lists, scalar against one-element list, case of action and condition key names, empty fields injected by a
    server, the spellings of a principal: none of these survive. ``Sid`` does: it is part of what was asked for.

    Args:
        document: A policy document as written or as returned by a server.
        rules: Decides the spelling of actions and whether ``*`` means ``s3:*``.

    Returns:
        ``{"Version": ..., "Statement": [...]}`` with sorted, unique lists.
    """
    statements = [_canonical_statement(one, rules) for one in as_list(document.get("Statement"))]
    unique = {json.dumps(one, sort_keys=True): one for one in statements}
    made: Document = {"Version": document.get("Version") or "", "Statement": [unique[key] for key in sorted(unique)]}
    identity = document.get("Id") or document.get("ID")
    return {"Id": identity, **made} if identity else made


def _canonical_statement(statement: Document, rules: ActionRules) -> Document:
    made: Document = {"Effect": str(statement.get("Effect", "")).capitalize()}
    if statement.get("Sid"):
        made["Sid"] = statement["Sid"]
    for key in ("Action", "NotAction"):
        if actions := as_list(statement.get(key)):
            made[key] = sorted({_canonical_action(str(one), rules) for one in actions})
    for key in ("Resource", "NotResource"):
        if resources := as_list(statement.get(key)):
            made[key] = sorted({str(one) for one in resources})
    for key in ("Principal", "NotPrincipal"):
        if statement.get(key):
            made[key] = _canonical_principal(statement[key])
    if conditions := _canonical_conditions(statement.get("Condition") or {}):
        made["Condition"] = conditions
    return made


def _canonical_action(action: str, rules: ActionRules) -> str:
    if action == "*":
        return "s3:*" if rules.star_is_s3 else "*"
    known = rules.known_spelling(action)
    return known if known in rules.s3 else action.lower()


def _canonical_principal(principal: Any) -> Document:
    """``"*"`` is ``{"AWS": ["*"]}``, an account id is its root ARN."""
    if not isinstance(principal, dict):
        principal = {"AWS": principal}
    made = {}
    for kind, values in principal.items():
        names = {_ACCOUNT_ROOT.sub(r"\1", str(one)) for one in as_list(values)}
        if names:
            made[kind] = sorted(names)
    return made


def _canonical_conditions(conditions: Document) -> Document:
    made: Document = {}
    for operator, tests in conditions.items():
        keys = {str(key).lower(): sorted({_condition_value(one) for one in as_list(v)}) for key, v in tests.items()}
        if keys:
            made[operator] = keys
    return made


def _condition_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_list(value: Any) -> list[Any]:
    """A scalar as a list of one, nothing as an empty list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def check(document: Document, name: str, rules: ActionRules, *, bucket_policy: bool = False) -> None:
    """Refuse, before the put, what the server would refuse or would silently not understand.

    Args:
        document: The policy as asked for.
        name: Of the policy, for the message.
        rules: Of the server that shall store it.
        bucket_policy: Bucket policies need a principal, identity policies must not have one.

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
        found += [f"statement {label}: {one}" for one in _statement_complaints(statement, rules, bucket_policy)]
    if found:
        raise errors.BadInputError(f"policy {name}: " + "; ".join(found))


def _statement_complaints(statement: Document, rules: ActionRules, bucket_policy: bool) -> list[str]:
    found = []
    if unknown := sorted(set(statement) - _STATEMENT_KEYS):
        found.append(f"unknown field {', '.join(unknown)}")
    if statement.get("Effect") not in ("Allow", "Deny"):
        found.append(f"Effect is {statement.get('Effect')!r}, right: 'Allow' or 'Deny'")
    actions = [str(one) for key in ("Action", "NotAction") for one in as_list(statement.get(key))]
    if bool(as_list(statement.get("Action"))) == bool(as_list(statement.get("NotAction"))):
        found.append("needs exactly one of Action and NotAction")
    found += [text for text in (complaint(one, rules) for one in sorted(set(actions))) if text]
    families = {one.partition(":")[0] for one in actions if ":" in one}
    if rules.single_family and len(families) > 1:
        found.append(f"mixes {' and '.join(sorted(families))} actions; {rules.server} wants one statement for each")
    found += _resource_complaints(statement, families, rules, bucket_policy)
    if bucket_policy != bool(statement.get("Principal") or statement.get("NotPrincipal")):
        found.append("needs a Principal" if bucket_policy else "has a Principal, which only bucket policies may")
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
