import asyncio
import runpy


async def evaluate(program_path):
    value = runpy.run_path(program_path)["VALUE"]
    await asyncio.sleep(0)
    # Without combined_score: the mean of the numbers.
    return {"value": value, "double": 2 * value, "valid": True}
