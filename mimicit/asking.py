"""The second pass: ask the teacher what the journal has no reply for, and commit each reply.

Nothing else happens here. The asking runs in a thread of its own, so that the main one stays free
to show how far it is and to be interrupted. An interrupted pass stops sending at once and waits a
few seconds for the replies that are on their way, since they are paid for.
"""

import threading
from collections.abc import Callable

from mimicit.budget import Budget
from mimicit.feeding import Walk
from mimicit.fleet import GRACE_SECONDS, Asked, Fleet
from mimicit.journal import Journal
from mimicit.progress import Counted, Track
from mimicit.teachers import Teacher
from mimicit.teachers.limits import Limits


def ask(  # noqa: PLR0913  # what is asked, where, how, and how much there is of it
    walk: Walk,
    journal: Journal,
    open_teacher: Callable[[], Teacher],
    *,
    budget: Budget,
    limits: Limits,
    concurrency: int,
    rounds: int,
    total: int,
    track: Track,
    batch: bool = False,
    teacher: str = "",
) -> Asked:
    """Ask for every missing reply, `concurrency` at once; return when all have been tried.

    Args:
        walk: Walks the requests; called again while there may be more to ask.
        journal: Where replies are looked up and kept.
        open_teacher: Makes the teacher, in the event loop that it is used in.
        budget: What requests cost, and what they may.
        limits: Those that the teacher keeps.
        concurrency: Requests under way at once.
        rounds: How often new replies may bring new requests.
        total: About how many requests there are, for the time of arrival.
        track: Shows progress.
        batch: Whether to ask by the batch (`mimicit.batches`), all but the first.
        teacher: Who is asked: what replies are kept under.

    Raises:
        TeacherError: the endpoint cannot be used. What was answered is kept in any case.
        BudgetExceeded: the next request does not fit into the budget.
        MimicitError: the journal or a picture failed.
        UsageError: there is no key, or a prompt fails.
    """
    fleet = Fleet(
        walk,
        journal,
        open_teacher,
        budget,
        limits,
        concurrency=concurrency,
        rounds=rounds,
        batch=batch,
        teacher=teacher,
    )
    thread = threading.Thread(target=fleet.run, name="asking", daemon=True)
    thread.start()
    try:
        shown = Counted(fleet.events(), total, fleet.status)
        for _ in track(shown, "ask", "requests"):
            pass
    finally:
        fleet.stop()
        thread.join(2 * GRACE_SECONDS)
    fleet.asked.bill = budget.bill
    if fleet.error:
        raise fleet.error
    if fleet.asked.failures["budget"]:
        raise budget.exceeded()
    return fleet.asked
