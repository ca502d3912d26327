"""Our PPO, as a child."""

from benchmarks.against_peers.child import read_job, tell
from benchmarks.against_peers.ours import train

if __name__ == "__main__":
    tell(train("ppo", read_job()))
