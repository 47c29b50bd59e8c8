"""The commands that look at what would be asked: `mimicit plan` and `mimicit prompts`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from mimicit import cli_options as opt
from mimicit.errors import UsageError

if TYPE_CHECKING:
    from mimicit.plan import Plan
    from mimicit.schema import ImagePart, Request

prompts = typer.Typer(no_args_is_help=True, help="Look at prompts.")


def plan(
    source: opt.Source = [],  # noqa: B006  # Typer reads the default, nobody changes it
    root: opt.Root = None,
    sample: opt.Sample = False,
    option: opt.Option = [],  # noqa: B006
    teacher: opt.Teacher = "openai",
    model: opt.Model = None,
    base_url: opt.BaseUrl = None,
    concurrency: opt.Concurrency = 16,
    rpm: opt.Rpm = None,
    tpm_in: opt.TpmIn = None,
    tpm_out: opt.TpmOut = None,
    budget_usd: opt.BudgetUsd = None,
    prices: opt.Prices = None,
    batch: opt.Batch = False,
    reply_seconds: Annotated[
        float | None, typer.Option(help="Seconds a reply takes.  [default: by its length]")
    ] = None,
    replicates: opt.Replicates = None,
    vision: opt.Vision = None,
    prompt: opt.Prompt = [],  # noqa: B006
    param: opt.Param = [],  # noqa: B006
    send_max_side: opt.SendMaxSide = None,
    salvage: opt.Salvage = None,
    skip_frames: opt.SkipFrames = [],  # noqa: B006
    allow_licence: opt.AllowLicence = [],  # noqa: B006
    split: opt.Split = None,
    media_cache: opt.MediaCache = None,
    teacher_id: opt.TeacherId = None,
    journal: opt.Journal = None,
    limit: opt.Limit = None,
    only: opt.Only = [],  # noqa: B006
    config: opt.Config = None,
) -> None:
    """Say what a build would ask, and cost, without asking (`--base-url` is not needed)."""
    del base_url, batch  # taken, so that the options of a build can be handed over as they are
    from mimicit import prices as price_table
    from mimicit.plan import plan as work_out
    from mimicit.progress import on_terminal

    given = {
        "teacher": teacher if model else None,
        "model": model,
        "replicates": replicates,
        "vision": vision,
        "send_max_side": send_max_side,
        "salvage": salvage,
        "skip_frames": skip_frames or None,
        "allow_licences": allow_licence or None,
        "split": split,
        "teacher_id": teacher_id,
        "limit": limit,
        "only": only or None,
    }
    made = opt.configure(
        config, source, root, option, prompt=prompt, param=param, given=given, sample=sample
    )
    if made.teacher == "templates":
        raise UsageError("name the model to plan for, as in --model gpt-4o-mini")
    table = price_table.load(prices)
    worked_out = work_out(made, table, journal=journal, media_cache=media_cache, track=on_terminal)
    for name, value in _plan_lines(worked_out):
        print(f"  {name:<16}{value}")  # noqa: T201
    if worked_out.left:
        seconds = worked_out.seconds(
            concurrency, reply_seconds=reply_seconds, rpm=rpm, tpm_in=tpm_in, tpm_out=tpm_out
        )
        print(f"  {'time':<16}about {_duration(seconds)}, {concurrency} in flight")  # noqa: T201
    if budget_usd is not None and worked_out.cost is not None and worked_out.cost > budget_usd:
        print(f"  {'budget':<16}${budget_usd:,.2f} will not be enough")  # noqa: T201


def _plan_lines(plan: "Plan") -> list[tuple[str, str]]:
    """Say what a plan holds, a line each."""
    lines = [
        ("scenes", f"{plan.scenes:,}"),
        ("requests", f"{plan.requests:,}"),
        ("  in the journal", f" {plan.known:,}, free ({plan.journal})"),
        ("  to ask", f"{plan.left:,}, with {plan.images:,} pictures"),
    ]
    if not plan.left:
        return [*lines, ("cost", "nothing")]
    rule = f"{plan.image_tokens:,} by {plan.model}'s rule"
    if not plan.price:
        rule = (
            f"{plan.tile_tokens:,} if counted in tiles as for GPT-4o, "
            f"{plan.patch_tokens:,} if in patches of 32 pixels"
        )
    lines += [
        ("input tokens", f"about {plan.input_tokens:,}"),
        ("  text", f"{plan.text_tokens:,}; {plan.shared_tokens:,} of it is the same each time"),
        ("  pictures", rule),
        ("output tokens", f"about {plan.output_tokens:,}, at most {plan.most_output_tokens:,}"),
    ]
    if plan.cost is None or plan.price is None:
        return [*lines, ("cost", f"not known: no price for {plan.model!r}; give one with --prices")]
    most = f", at most ${plan.most_cost:,.2f}" if plan.most_cost is not None else ""
    batch = plan.cost * plan.price.batch
    rates = f"${plan.price.input:g} in and ${plan.price.output:g} out a million tokens"
    return [
        *lines,
        ("cost", f"about ${plan.cost:,.2f}{most}"),
        ("", f"{rates} (as of {plan.price.date}), without discounts"),
        ("", f"with --batch about ${batch:,.2f}"),
    ]


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(1, seconds):.0f} seconds"


@prompts.command()
def show(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="Source whose prompt to show.")],
    scene: Annotated[
        str | None, typer.Option(help="Scene to ask about, by its id or a picture's.")
    ] = None,
    root: opt.Root = None,
    sample: opt.Sample = False,
    option: opt.Option = [],  # noqa: B006
    model: opt.Model = "MODEL",
    vision: opt.Vision = None,
    prompt: opt.Prompt = [],  # noqa: B006
    param: opt.Param = [],  # noqa: B006
    send_max_side: opt.SendMaxSide = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Show the body of the HTTP request.")
    ] = False,
) -> None:
    """Print what would be sent about a scene; without files of one's own, of the sample."""
    from mimicit.generators import find
    from mimicit.plan import first_request

    find(name)
    given = {
        "teacher": "openai",
        "model": model,
        "vision": vision,
        "send_max_side": send_max_side,
        "only": [scene] if scene else None,
        "limit": None if scene else 1,
    }
    sample = sample or not (root or option)
    made = opt.configure(
        None, [name], root, option, prompt=prompt, param=param, given=given, sample=sample
    )
    try:
        request = first_request(made)
    except UsageError as error:
        raise UsageError(str(error).replace("--only", "--scene")) from error
    if as_json:
        from mimicit.teachers.wire import request_body

        body = request_body(request, model or "", lambda part: _placeholder(part).encode())
        print(json.dumps(body, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        _print_request(request)


def _print_request(request: "Request") -> None:
    for message in request.messages:
        print(f"----- {message.role}")  # noqa: T201
        for part in message.parts:
            print(part if isinstance(part, str) else f"[{_placeholder(part)}]")  # noqa: T201
    print("----- parameters")  # noqa: T201
    for name, value in request.parameters:
        print(f"{name}: {json.dumps(value)}")  # noqa: T201
    print(f"----- reply schema\n{request.reply_schema}")  # noqa: T201
    print(f"----- key\n{request.key}")  # noqa: T201


def _placeholder(part: "ImagePart") -> str:
    """Stand for a picture, whose bytes nobody wants on a terminal."""
    size = f"at most {part.max_side} pixels a side" if part.max_side else "at its own size"
    return f"picture {part.ref.id}, {size}, sha256 {part.content}"
