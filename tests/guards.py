"""Is every guard needed? Takes each out of a copy of the source, one at a time, and runs the
simulations: one of them has to fail, else the guard is one that nobody tests.

    tests/run guards [NAME]
    tests/guards.py --check     # only whether the source still has each guard

Everything is done in a copy under the cache directory; the checkout is not touched.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Name of the guard, and for each of its places: the file, the text that makes it, and what is there
# without it.
GUARDS = [
    ("fleet-cap", "crates/engine/src/decide/mod.rs",
     "let held = bounds.clamp(proposal.capacity);",
     "let held = proposal.capacity.max(bounds.min());"),
    # Two layers; either alone would do.
    ("floor", "crates/engine/src/decide/mod.rs",
     "let held = bounds.clamp(proposal.capacity);",
     "let held = proposal.capacity.min(bounds.max());",
     "crates/engine/src/decide/queue.rs",
     ".max(fleet.bounds.min());",
     ";"),
    ("account-cap", "crates/engine/src/plan/budget.rs",
     "&& self.alive >= limit",
     "&& self.alive >= limit && false"),
    ("termination-budget", "crates/engine/src/plan/budget.rs",
     "self.retirements.take().map_err(Limit::Terminate)",
     "self.retirements.take().or(Ok(()))"),
    ("launch-budget", "crates/engine/src/plan/budget.rs",
     "self.launches.take().map_err(Limit::Launch)?;",
     "self.launches.take().ok();"),
    ("drain-first", "crates/engine/src/plan/retire.rs",
     "if retirement.termination().is_some() {",
     "if retirement.termination().is_some() || true {"),
    ("drain-deadline", "crates/engine/src/state/drain.rs",
     ".or_else(|| late.then_some(DrainEnd::Deadline));",
     ";"),
    # Three layers: a drain that no server received is cancelled, and does not end by its deadline.
    ("drain-received", "crates/engine/src/state/drain.rs",
     "let late = received && ec2_now >= drain.deadline;",
     "let late = ec2_now >= drain.deadline;",
     "crates/engine/src/plan/drain.rs",
     "Delivery::Refused { why } => Some(why.clone()),",
     "Delivery::Refused { .. } => None,",
     "crates/engine/src/plan/drain.rs",
     "late.then_some(why)",
     "late.then_some(why).filter(|_| false)"),
    ("minimum-uptime", "crates/engine/src/state/release.rs",
     "if uptime < minimum {",
     "if uptime < minimum && false {"),
    ("paid-hour", "crates/engine/src/state/release.rs",
     "if now < opens {",
     "if now < opens && false {"),
    ("unknown-reading", "crates/engine/src/decide/queue.rs",
     "Err(why) => ask.unreadable(why),",
     "Err(_) => Proposal::new(floor, Reason::QueueUnread),"),
    ("fresh-evidence", "crates/engine/src/state/phase.rs",
     "Some(_) | None if self.asked => Ok(()),",
     "Some(_) | None if self.asked || true => Ok(()),"),
    ("busy", "crates/engine/src/state/phase.rs",
     "Some(jobs) if jobs > 0 => Err(Block::Busy { jobs }),",
     "Some(jobs) if jobs > 0 && false => Err(Block::Busy { jobs }),"),
    ("partial-view", "crates/engine/src/state/mod.rs",
     "(absent > tolerated).then_some",
     "(absent > tolerated && false).then_some"),
    ("correlated-sickness", "crates/engine/src/state/mod.rs",
     "sick > half_floor(of)",
     "sick > half_floor(of) && false"),
    ("ownership", "crates/engine/src/state/mod.rs",
     "&& token.is_some_and(|token| Token::is_ours(token, &policy.install))",
     "&& token.is_none_or(|_| true)"),
    ("hold", "crates/engine/src/decide/demand.rs",
     "if let Some(hold) = &view.hold {",
     "if let Some(hold) = view.hold.as_ref().filter(|_| false) {"),
    ("pause", "crates/engine/src/plan/launch.rs",
     "if draft.view.pause.is_some() {",
     "if draft.view.pause.is_some() && false {"),
    ("keep", "crates/engine/src/state/phase.rs",
     "keep.filter(|keep| keep.until > self.seen.now)",
     "keep.filter(|keep| keep.until > self.seen.now && false)"),
    ("doubt", "crates/engine/src/plan/mod.rs",
     "let sure = roster.doubt.is_none();",
     "let sure = true;"),
    ("unanswered-is-alive", "crates/engine/src/state/note.rs",
     "if self.complete && time::since(ec2_now, since) >= UNANSWERED_HORIZON =>",
     "if since <= ec2_now =>"),
    ("rates-by-ec2", "crates/engine/src/state/limits.rs",
     "record.planned_at_ec2.unwrap_or(record.planned_at)",
     "record.planned_at",
     "crates/engine/src/state/limits.rs",
     "retirement.begun_at_ec2.unwrap_or(retirement.begun_at)",
     "retirement.begun_at",
     "crates/engine/src/state/limits.rs",
     "let from = time::before(clocks.ec2, rate.per);",
     "let from = time::before(clocks.host, rate.per);"),
    ("intent-before-act", "src/record/mod.rs",
     "    journal.commit_noted(&changes, noted).await?;\n",
     "    journal.take_in(&changes);\n"),
]

TESTS = ["swarm", "crash", "scenario"]

# Seconds. They take half a minute, so only a hang takes as long.
HANG = 600

root = Path(__file__).resolve().parent.parent
cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "guards"
copy = cache / "source"


def files():
    """What git knows of, committed or not, without what it ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (root / name).is_file()]


def run_tests():
    """The first test that fails and what it says, or None."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(cache / "target"), RUST_BACKTRACE="0")
    build = ["cargo", "test", "--locked", "--no-default-features", "--test", "it"]
    built = subprocess.run(build + ["--no-run"], cwd=copy, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(f"the mutant does not compile:\n{built.stderr}")
    try:
        done = subprocess.run(
            build + ["--"] + TESTS, cwd=copy, env=env, capture_output=True, text=True, timeout=HANG)
    except subprocess.TimeoutExpired:
        sys.exit(f"the tests hang: they took longer than {HANG} seconds")
    if done.returncode == 0:
        return None
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", done.stdout, re.M)
    if not failed:
        sys.exit(f"the tests did not run:\n{done.stdout}\n{done.stderr}")
    said = re.search(r"panicked at .*\n(.*)", done.stdout)
    return failed, said.group(1)[:160] if said else ""


def check():
    """Fails for a guard whose text the source does not have any more."""
    missing = [
        f"{name}: {path} has no {guard!r}"
        for name, *places in GUARDS
        for path, guard in zip(places[::3], places[1::3])
        if guard not in (root / path).read_text()]
    if missing:
        sys.exit("\n".join(["tests/guards.py names code that is not there:", *missing]))


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    guards = [guard for guard in GUARDS if wanted in guard[0]]
    if not guards:
        sys.exit(f"no guard is called like {wanted}; there are {', '.join(g[0] for g in GUARDS)}")
    shutil.rmtree(copy, ignore_errors=True)
    for name in files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy / name)
    if run_tests() is not None:
        sys.exit("the tests fail with every guard in place; see to that first")
    idle = []
    for name, *places in guards:
        whole = {}
        for path, guard, without in zip(places[::3], places[1::3], places[2::3]):
            source = (copy / path).read_text()
            whole.setdefault(path, source)
            if source.count(guard) != 1:
                sys.exit(f"{name}: `{guard}` is in {path} {source.count(guard)} times, not once; "
                         f"say in {Path(__file__).name} how it is told now")
            (copy / path).write_text(source.replace(guard, without))
        found = run_tests()
        for path, source in whole.items():
            (copy / path).write_text(source)
        if found is None:
            idle.append(name)
            print(f"{name:22} NOBODY MISSES IT", flush=True)
        else:
            print(f"{name:22} missed by {', '.join(found[0])}\n{'':22} {found[1]}", flush=True)
    if idle:
        sys.exit(f"{len(idle)} of {len(guards)} guards are tested by nothing: {', '.join(idle)}")
    print(f"all {len(guards)} guards are needed")


main()
