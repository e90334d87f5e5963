"""What the modules of this repository share: connection options, the loop over a list form, errors as one line."""

from __future__ import annotations

import os
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from stowage import errors
    from stowage.access.connect import assume_empty, connect
    from stowage.s3.connection import S3Settings

    MISSING = None
except ImportError:
    MISSING = traceback.format_exc()

CONNECTION = {
    "endpoint": {"type": "str"},
    "access_key": {"type": "str", "no_log": False},
    "secret_key": {"type": "str", "no_log": True},
    "region": {"type": "str", "default": "us-east-1"},
    "addressing_style": {"type": "str", "choices": ["path", "virtual", "auto"], "default": "path"},
    "ca_bundle": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "driver": {"type": "str", "choices": ["iam", "rustfs", "minio"], "default": "iam"},
    "connect_timeout": {"type": "float", "default": 5},
    "read_timeout": {"type": "float", "default": 60},
    "max_attempts": {"type": "int", "default": 3},
    "check_unreachable": {"type": "str", "choices": ["fail", "assume_absent"], "default": "fail"},
}
_FALLBACKS = {
    "endpoint": ("QATLAS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "access_key": ("QATLAS_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
    "secret_key": ("QATLAS_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
}


class StowageModule:
    """An AnsibleModule with the connection options, that runs one function per object.

    Args:
        own: Argument spec of one object, without the connection.
        many: Name of the list option whose items take the same options; ``None`` for modules without a list form.
        main: The option that names one object, required in each.
        extra: Options that stand beside the objects, once for the call.
        checked: ``False`` for modules that are skipped in check mode.
    """

    def __init__(self, own, *, many=None, main="name", extra=None, checked=True):
        spec = {**CONNECTION, **own, **(extra or {})}
        rules = {}
        if many:
            item = {key: {k: v for k, v in rule.items() if k != "default"} for key, rule in own.items()}
            item[main] = {**item[main], "required": True}
            spec[many] = {"type": "list", "elements": "dict", "options": item}
            rules = {"mutually_exclusive": [[main, many]], "required_one_of": [[main, many]]}
        self.module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
        self.check = self.module.check_mode
        self._own, self._many = own, many
        if MISSING:
            self.module.fail_json(msg=missing_required_lib("stowage"), exception=MISSING)
        if not checked and self.check:
            self.module.exit_json(changed=False, skipped=True, msg="a probe writes scratch objects: not in check mode")
        self.params = self.module.params
        self.empty = False
        self._driver = None
        try:
            self.settings = self._settings()
        except errors.StowageError as error:
            self.fail(error)

    def _settings(self):
        def value(name):
            given = self.params[name]
            return given or next((os.environ[env] for env in _FALLBACKS[name] if os.environ.get(env)), None)

        secret = value("secret_key")
        if not (secret and value("access_key")):
            raise errors.BadInputError(
                "no access_key and secret_key given", "give both, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if secret:
            self.module.no_log_values.add(secret)
        return S3Settings(
            endpoint=value("endpoint"),
            access_key=value("access_key"),
            secret_key=secret,
            region=self.params["region"],
            addressing_style=self.params["addressing_style"],
            ca_bundle=self.params["ca_bundle"] or os.environ.get("AWS_CA_BUNDLE") or None,
            verify=self.params["validate_certs"],
            connect_timeout=self.params["connect_timeout"],
            read_timeout=self.params["read_timeout"],
            max_attempts=self.params["max_attempts"],
        )

    @property
    def driver(self):
        """The access driver, made when first asked for; one without content when the store is assumed empty."""
        if self._driver is None:
            name = self.params["driver"]
            self._driver = assume_empty(name) if self.empty else connect(name, self.settings)
        return self._driver

    def objects(self):
        """The options of each object: the call's own, or each list item with the call's options as its defaults."""
        top = {key: self.params[key] for key in self._own}
        if not self._many or self.params[self._many] is None:
            return [top]
        return [
            {**top, **{key: value for key, value in item.items() if value is not None}}
            for item in self.params[self._many]
        ]

    def reconcile(self, work):
        """Run ``work(options) -> Outcome`` for each object and leave with the results.

        A store that can not be reached is assumed empty when check mode was told so.
        """
        outcomes = []
        warnings = []
        try:
            try:
                for options in self.objects():
                    outcomes.append(work(options))
            except errors.NetworkError as error:
                if not (self.check and self.params["check_unreachable"] == "assume_absent"):
                    raise
                warnings.append(f"{error.message}; assumed to be an empty store, as check_unreachable says")
                self.empty, self._driver = True, None
                outcomes = [work(options) for options in self.objects()]
        except errors.StowageError as error:
            self.fail(error, changed=any(one.changed for one in outcomes), results=[self._result(o) for o in outcomes])
        self._leave(outcomes, warnings)

    def _result(self, outcome):
        result = outcome.result()
        made = getattr(outcome, "credentials", None)
        if made:
            result["credentials"] = {
                "access_key_id": made.access_key_id,
                "secret_access_key": made.secret_access_key,
            }
        return result

    def _leave(self, outcomes, warnings):
        for text in (*warnings, *(text for outcome in outcomes for text in outcome.warnings)):
            self.module.warn(text)
        results = [self._result(outcome) for outcome in outcomes]
        answer = {"changed": any(outcome.changed for outcome in outcomes), "results": results}
        if not self._many or self.params[self._many] is None:
            answer = {**results[0], **answer}
        if self.module._diff:
            answer["diff"] = [outcome.diff() for outcome in outcomes if outcome.changed]
        self.module.exit_json(**answer)

    def read(self, work):
        """Run ``work() -> dict`` and leave with what it returns, unchanged; fail when it has ``mismatches``."""
        try:
            try:
                answer = work()
            except errors.NetworkError as error:
                if not (self.check and self.params["check_unreachable"] == "assume_absent"):
                    raise
                self.module.warn(f"{error.message}; assumed to be an empty store, as check_unreachable says")
                self.empty, self._driver = True, None
                answer = work()
        except errors.StowageError as error:
            self.fail(error)
        if wrong := answer.get("mismatches"):
            self.module.fail_json(msg="; ".join(wrong), kind="mismatch", changed=False, **answer)
        self.module.exit_json(changed=False, **answer)

    def fail(self, error, **more):
        """Leave with the engine's one line, its hint and its kind."""
        self.module.fail_json(msg=str(error), hint=error.hint, kind=error.kind, **more)

    def probe(self, work):
        """Run ``work(options) -> dict`` for each object, leave unchanged, and fail when there are ``mismatches``."""
        results = []
        try:
            for options in self.objects():
                results.append(work(options))
        except errors.StowageError as error:
            self.fail(error, results=results)
        if not self._many:
            answer = {"changed": False, "results": results[0]["rows"]}
        else:
            answer = {"changed": False, "results": results}
            if self.params[self._many] is None:
                answer = {**results[0], **answer}
        wrong = [text for result in results for text in result["mismatches"]]
        if wrong:
            self.module.fail_json(msg=f"{len(wrong)} not as expected: " + "; ".join(wrong), kind="mismatch", **answer)
        self.module.exit_json(**answer)
