"""A runtime that starts an instance only where it finds a place, and with what its type has.

It stands before whatever runs instances and gives each the devices, and the limits, of its type;
see `placement` for what is decided and `claims` for how that survives kills.

    runtime = PlacedRuntime(process_runtime, Claims(run_dir), host=look_at_host, rules=Rules())
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from inservice.placement import visible
from inservice.placement.host import Claim, Host, Limits, Sharing
from inservice.placement.place import NoRoom, Rules, place
from inservice.runtimes.base import Handle, InsufficientCapacity, LaunchSpec, Sight, WatchedRuntime
from inservice.runtimes.claims import Claims, ClaimsUnreadable
from inservice.threads import Threads

_log = logging.getLogger(__name__)


class PlacedRuntime:
    """Implements `runtimes.base.WatchedRuntime` over one."""

    def __init__(
        self, runtime: WatchedRuntime, claims: Claims, *, host: Callable[[], Host], rules: Rules
    ) -> None:
        """`host` tells what there is just now. It may block for a moment."""
        self._runtime = runtime
        self._claims = claims
        self._host = host
        self._rules = rules
        self._threads = Threads("claims", 1)  # one, so that no two of ours wait for a lock
        self._dropping = asyncio.Lock()
        self._launching: set[str] = set()

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start it in the place that it finds, or find it running.

        Raises InsufficientCapacity, and what the runtime raises.
        """
        self._launching.add(spec.instance_id)
        try:
            return await self._runtime.launch(await self._place(spec))
        except BaseException:
            with contextlib.suppress(Exception):  # why it failed is what the caller has to hear
                await self._give_up({spec.instance_id})
            raise
        finally:
            self._launching.discard(spec.instance_id)

    async def handles(self) -> Sequence[Handle]:
        """Every instance on record. What is claimed for others is claimed no more."""
        handles = await self._runtime.handles()
        known = {handle.instance_id for handle in handles}
        try:
            claimed = set(await self._threads.run(self._claims.all))
        except ClaimsUnreadable as error:
            _log.error("nobody knows who holds what: %s", error)
            return handles
        await self._give_up(claimed - known - self._launching)
        return handles

    async def recover(self, handle: Handle) -> Handle | None:
        """See `Runtime`."""
        return await self._runtime.recover(handle)

    async def look(self, handle: Handle) -> Sight:
        """See `Runtime`."""
        return await self._runtime.look(handle)

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """See `WatchedRuntime`."""
        return await self._runtime.next_sight(handle, last)

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """End it; then what it held is free."""
        await self._runtime.retire(handle, grace_seconds)
        if handle.instance_id not in self._launching:
            await self._give_up({handle.instance_id})

    async def close(self) -> None:
        """See `WatchedRuntime`."""
        await self._runtime.close()

    # ── claims ───────────────────────────────────────────────────────────────────────────────

    async def _place(self, spec: LaunchSpec) -> LaunchSpec:
        """The spec with what it gets, claimed. Raises InsufficientCapacity."""
        try:
            return await self._threads.run(self._claimed, spec)
        except InsufficientCapacity:
            await self.handles()  # drops what a kill has left claimed for nobody
        return await self._threads.run(self._claimed, spec)

    def _claimed(self, spec: LaunchSpec) -> LaunchSpec:
        host = self._host()
        claim = self._claim(spec, host)
        limited = self._rules.limits is Limits.ENFORCED and claim.resources.vcpus > 0
        spec = replace(spec, claim=claim.token, is_limited=limited, accelerators=claim.devices)
        hides = bool(host.devices or host.blind)  # also from whoever is to see none
        if self._rules.sharing is Sharing.SHARED or not hides:
            return spec
        containers = tuple(
            replace(each, environment=visible.environment(each.environment, claim.devices))
            for each in spec.workload.containers
        )
        return replace(spec, workload=replace(spec.workload, containers=containers))

    def _claim(self, spec: LaunchSpec, host: Host) -> Claim:
        wanted = Claim(
            spec.instance_id,
            spec.account,
            spec.endpoint,
            spec.variant,
            spec.workload.resources,
            token=secrets.token_hex(8),
        )
        try:
            with self._claims.changing() as claims:
                before = claims.get(spec.instance_id)
                if before is not None and before.token:
                    wanted = replace(wanted, token=before.token)
                found = place(host, list(claims.values()), wanted, self._rules)
                if isinstance(found, NoRoom):
                    raise InsufficientCapacity(found.reason)
                claims[spec.instance_id] = found
                return found
        except ClaimsUnreadable as error:
            if not wanted.resources.gpus and self._rules.limits is not Limits.ENFORCED:
                return replace(wanted, token="")  # it holds nothing that others may not have too
            why = f"Nobody can tell who holds what of this host: {error}. Remove it while no"
            raise InsufficientCapacity(NoRoom(f"{why} instance has a GPU.").reason) from error

    async def _give_up(self, instances: set[str]) -> None:
        """Drop the claims of these that are on no record. If that cannot be written, as on a full
        disk, nobody is kept waiting for it: they are dropped when somebody needs what they hold."""
        if not instances:
            return
        try:
            async with self._dropping:
                tokens = await self._threads.run(self._void, instances)
                on_record = {handle.instance_id for handle in await self._runtime.handles()}
                await self._threads.run(self._settle, tokens, on_record)
        except (OSError, ClaimsUnreadable) as error:
            _log.warning("what is held by nobody stays claimed for now: %s", error)

    def _void(self, instances: set[str]) -> Mapping[str, str]:
        """The tokens that they had."""
        with self._claims.changing() as claims:
            tokens = {each: claims[each].token for each in instances if each in claims}
            claims.update({each: replace(claims[each], token="") for each in tokens})
            return tokens

    def _settle(self, tokens: Mapping[str, str], on_record: Collection[str]) -> None:
        with self._claims.changing() as claims:
            for each, token in tokens.items():
                if each not in claims or claims[each].token:
                    continue  # claimed anew meanwhile
                if each in on_record:
                    claims[each] = replace(claims[each], token=token)
                else:
                    del claims[each]
