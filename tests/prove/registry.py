"""The proofs that `make prove` runs, in this order: each a module of its own, how many pieces of work it has, and what it shows.

To add one, write a module that `python -m MODULE --first N --count K --json` runs: it does the pieces N to N+K-1 (seeds, rounds,
boundaries: whatever a number stands for), which no earlier piece may have to prepare, and prints one JSON object as its last line:
`{"figures": {"faults": 12, "losses": 0}, "failures": [{"said": "…", "command": "python -m MODULE 17"}]}`. Figures of pieces are
added up, those that begin with `most_` or `longest_` are the highest; so are `details`, figures of each of many things by their names. `tests.prove.piece.run_pieces` does all of that for a proof
whose pieces are functions of a seed. Then name it here. Exit status and standard error are only shown.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """`count` pieces are a whole proof, run `at_once` in one process and remembered when it ends; `lanes` such processes run at a time.

    A proof whose pieces say how many there are (`known`) has that many.
    """

    name: str
    title: str
    shows: str  # one or two sentences of the manual
    module: str
    count: int
    at_once: int
    unit: str
    lanes: int = 1
    of_each: str = ""  # what the details are of


PROOFS: tuple[Proof, ...] = (
    Proof(
        name="weeks",
        title="Simulated weeks",
        shows="`decide` lives through weeks of people, edits, failures and refusals on a virtual clock; the rules are checked at each tick, "
        "and after the last fault the fleet comes to rest.",
        module="tests.property.weeks",
        count=1000,
        at_once=25,
        unit="weeks",
        lanes=2,
    ),
    Proof(
        name="sweep",
        title="A death at every boundary",
        shows="With everything real, `kill -9` ends the controller, the API, Terraform or PostgreSQL before and after each commit, call of AWS, answer and Terraform "
        "of a day in a lab's life. Each time a controller leads and all is at rest again with the declared VMs, no instance twice or unknown, and all that was acknowledged, after "
        "at most two more ticks that decided something. Who dies at a crossing that does not come again dies at another one of that boundary, in the end at a start or in another turn; a boundary that is not reached is a failure.",
        module="tests.nemesis.sweep",
        count=660,
        at_once=30,
        unit="deaths",
        lanes=2,
        of_each="boundary",
    ),
    Proof(
        name="rounds",
        title="Several of each",
        shows="Two controllers and two APIs on one database while people come and go, and two of seven things happen to one of them: killed, stopped past its lease, its connections "
        "reset, silent, cut or slow, the database killed. No Terraform meets another on its state, nobody writes without the lease, some order of single steps explains every "
        "answer (linearizability), each log line is stored once, and another leads within 15 seconds, not counting those in which neither can come to the database (stopped or cut off).",
        module="tests.nemesis.rounds",
        count=500,
        at_once=25,
        unit="rounds",
        lanes=3,
    ),
    Proof(
        name="fuzzing",
        title="Hostile texts",
        shows="Documents, pasted commands, log lines and events of the log Lambda, mutated at random from a kept collection: nothing but a clear refusal is raised, no command but ours is made, "
        "no line is lost. What ever failed stays in the collection, and is tried in each run of the tests.",
        module="tests.property.fuzzing",
        count=1000,
        at_once=100,
        unit="rounds of inputs",
        lanes=2,
    ),
    Proof(
        name="simulation",
        title="Simulated lives",
        shows="The controller's own loops, on a real PostgreSQL, with a simulated AWS and Terraform and a virtual clock: capacity refusals, "
        "throttling, partial applies, stale and short listings, lost, late and doubled wake-ups, clock jumps, database fail-overs, "
        "controllers that are stopped or killed at any side effect. The promises are checked at each step, then trouble ends and rest has to come.",
        module="tests.simulation.life",
        count=2000,
        at_once=20,
        unit="seeds",
        lanes=2,
    ),
    Proof(
        name="mutation",
        title="Mutation testing of the policy",
        shows="Each small wrong change of `controller/decide` (a comparison turned, a number off by one, a statement left out) has to fail a test.",
        module="tests.prove.mutation",
        count=2100,
        at_once=100,
        unit="mutants",
        lanes=2,
        of_each="survivor",
    ),
    Proof(
        name="endurance",
        title="Endurance",
        shows="A day in half an hour under full load: people, reports, pages, lines of logs that are up to eleven days old, sizes that change, days of logs that are made and dropped, "
        "logs that are turned. Memory, files, threads, tasks and connections of each program stay level (the slope of their quietest moments).",
        module="tests.nemesis.endurance",
        count=30,
        at_once=30,
        unit="minutes",
    ),
)
