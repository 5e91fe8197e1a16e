import argparse

from shinka.core import run_shinka_eval


def validate(result):
    values, total = result
    if abs(sum(values) - total) > 1e-9:
        return False, f"the sum is {sum(values)}, not {total}"
    return True, None


def aggregate(results):
    totals = [total for _, total in results]
    return {
        "combined_score": sum(totals) / len(totals),
        "public": {"runs": len(totals)},
        "private": {"totals": totals},
        "text_feedback": f"{len(totals)} runs",
    }


def main(program_path, results_dir):
    run_shinka_eval(
        program_path=program_path,
        results_dir=results_dir,
        experiment_fn_name="run_experiment",
        num_runs=2,
        validate_fn=validate,
        aggregate_metrics_fn=aggregate,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path", default="initial.py")
    parser.add_argument("--results_dir", default="results")
    given = parser.parse_args()
    main(given.program_path, given.results_dir)
