# SPDX-License-Identifier: Apache-2.0
"""A Slurm of the test's own: munged, slurmctld and a slurmd for each of some hosts."""

import secrets

from lib.hosts import Hosts, programs_need, wait_for

CONTROLLER = "control"
# Times are short, so that a node that is gone is noticed, and its tasks run again, within seconds.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={controller}({address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={directory}/slurmctld
SlurmdSpoolDir={directory}/slurmd-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,default_queue_depth=1000
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=5
KillWait=2
MinJobAge=3600
JobRequeue=1
MaxArraySize=1001
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    def __init__(self, context, node_count, processors):
        programs_need("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
        self.context = context
        self.nodes = [f"node{number}" for number in range(1, node_count + 1)]
        self.hosts = Hosts(context, [CONTROLLER, *self.nodes])
        self.directory = context.directory.parent / "slurm"
        for name in ("", "munge", "slurmctld", *(f"slurmd-{node}" for node in self.nodes)):
            (self.directory / name).mkdir(mode=0o755)
        key = self.directory / "munge" / "key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o400)
        nodes = "\n".join(f"NodeName={node} NodeAddr={self.hosts.address(node)} CPUs={processors} State=UNKNOWN"
                          for node in self.nodes)
        path = self.directory / "slurm.conf"
        path.write_text(CONFIGURATION.format(controller=CONTROLLER, address=self.hosts.address(CONTROLLER),
                                             directory=self.directory, nodes=nodes))
        self.environment = {**context.build.environment(), "SLURM_CONF": str(path)}
        munge = self.directory / "munge"
        self.hosts.start(CONTROLLER, ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={key}",
                                      f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"], "munged.log")
        wait_for(context, "munged", (munge / "socket").exists)
        self.hosts.start(CONTROLLER, ["slurmctld", "-D"], "slurmctld.log", env=self.environment)
        self.daemons = {node: self.node_start(node) for node in self.nodes}
        wait_for(context, "all nodes are idle", lambda: self.states() == ["idle"] * node_count, 0.5)

    def node_start(self, node):
        return self.hosts.start(node, ["slurmd", "-D", "-N", node], f"{node}.log", env=self.environment)

    def states(self):
        try:
            return self.run("sinfo", "-h", "-N", "-o", "%t").split()
        except Exception:  # pylint: disable=broad-except  # the controller is not there yet
            return []

    def run(self, *arguments):
        return self.hosts.run(CONTROLLER, arguments, env=self.environment)

    def node_kill(self, node):
        """As if it lost its power: whatever runs there is gone at once."""
        self.hosts.kill(node)
        self.daemons.pop(node).communicate()

    def node_return(self, node):
        self.daemons[node] = self.node_start(node)
