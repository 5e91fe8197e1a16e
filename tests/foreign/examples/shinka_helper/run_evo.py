from shinka.core import EvolutionConfig, ShinkaEvolveRunner
from shinka.database import DatabaseConfig
from shinka.launch import LocalJobConfig

job_config = LocalJobConfig(eval_program_path="evaluate.py", time="00:00:20")
search_task_sys_msg = """Make the samples large."""
evo_config = EvolutionConfig(task_sys_msg=search_task_sys_msg, num_generations=30)

if __name__ == "__main__":
    ShinkaEvolveRunner(
        evo_config=evo_config, job_config=job_config, db_config=DatabaseConfig()
    ).run()
