"""Optuna: a sweep of PPO that goes on where it was stopped; several processes in one folder share the trials."""

import sys

import optuna
from jcas_agents import evaluate
from jcas_agents.sb3 import make_sb3_env
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from stable_baselines3 import PPO

from jcas_env import make_scenario

trials, steps = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (20, 50_000)
task = {"users_per_cell": 4, "estimator": "crb", "observation": "flat"}
scenario = make_scenario("multicell", **task)


def utility(trial: optuna.Trial) -> float:
    """Mean utility of a trained policy on networks that no training sees."""
    chosen = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "n_epochs": trial.suggest_int("n_epochs", 2, 10),
        "policy_kwargs": {"log_std_init": trial.suggest_float("log_std_init", -2.0, 0.0)},
    }
    env = make_sb3_env("jcas/MultiCell-v0", num_envs=16, **task)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=256, gamma=0.0, seed=0, device="cpu", **chosen).learn(steps)
    return float(evaluate(scenario, model, episodes=8, seed=10**6).utility.mean())


journal = JournalStorage(JournalFileBackend("optuna.log"))  # in the folder in which this runs
study = optuna.create_study(storage=journal, study_name="ppo", direction="maximize", load_if_exists=True)
left = trials - len(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]))
if left > 0:
    study.optimize(utility, n_trials=left, callbacks=[MaxTrialsCallback(trials)])
print(len(study.trials), "trials; best", study.best_params, study.best_value)
