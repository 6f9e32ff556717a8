"""What the demo site writes with: 12 topics whose words overlap, common fillers, and `compose`.

The topics form a ring and every topic shares words with both neighbours, so one word seldom
settles what an article is about.
"""

import numpy as np
from numpy.typing import NDArray

FILLER_SHARE = 0.42
"""Part of a text that says nothing about its topic."""
TITLE_WORDS = (5, 8)
BODY_WORDS = (14, 22)

_OWN = {
    "databases": """postgres sqlite table row column index btree transaction isolation deadlock
        vacuum replica sharding join foreign primary key constraint cursor wal snapshot rollback
        commit normalization relational document tuple mvcc upsert trigger view rows tablespace
        serializable checkpointing""",
    "data engineering": """airflow dagster kafka flink spark warehouse lakehouse ingestion batch
        backfill lineage catalog orchestration avro iceberg dbt etl dataflow watermark windowing
        deduplication connector topic consumer producer offset partitioning freshness contract
        landing staging metrics dashboard reporting analytics""",
    "machine learning": """gradient neural network transformer attention embedding overfitting
        regularization dropout classifier regression clustering epoch loss optimizer finetuning
        inference label annotation benchmark tokenizer prompt reinforcement reward bandit
        ensemble bayesian likelihood prior posterior diffusion backpropagation hyperparameter
        generalization recall""",
    "graphics": """raytracing rasterizer texture mesh polygon triangle lighting shadow vulkan
        opengl directx antialiasing vertex fragment normal bump voxel scene camera frustum culling
        sprite particle reflection refraction material tessellation depth stencil swapchain
        illumination sampler mipmap skybox photorealistic""",
    "web front end": """react svelte vue angular javascript typescript css html dom component
        hook hydration bundler webpack flexbox stylesheet responsive router accessibility button
        form modal tooltip framework jsx viewport breakpoint cookie localstorage prerender
        lighthouse polyfill browser navigation widget""",
    "careers": """interview resume salary promotion manager mentor hiring recruiter offer
        negotiation burnout remote meeting onboarding leadership feedback staff senior junior
        team culture layoff startup equity bonus internship bootcamp degree networker ladder
        retrospective coaching delegation conference workplace""",
    "security": """vulnerability exploit phishing malware ransomware password hashing encryption
        cipher signature certificate oauth injection sandboxing fuzzing cve patching botnet
        intrusion forensics spoofing backdoor keylogger authentication authorization secrets
        rotation attacker defender pentest zeroday bounty sanitization csrf entropy""",
    "networking": """tcp udp quic packet routing bgp dns subnet switch ethernet congestion jitter
        bandwidth multicast anycast nat peering hop gateway handshake retransmission ipv6 wifi
        fiber vlan topology datagram arp dhcp traceroute mtu duplex wireshark ospf backhaul""",
    "cloud": """aws azure kubernetes serverless lambda terraform autoscaling tenant region zone
        billing invoice spot bucket helm ingress egress sidecar operator pod deployment rollout
        canary provisioning multicloud vendor lockin managed elasticity uptime pipeline
        observability finops quota namespace""",
    "operating systems": """kernel linux process thread scheduler paging swap syscall filesystem
        inode mutex semaphore interruptible fork exec daemon systemd shell mount posix windows
        freebsd context preemption futex ebpf cgroup initramfs bootloader signal pipe hugepage
        copyonwrite userspace slab""",
    "embedded": """microcontroller arduino gpio sensor actuator soldering oscilloscope uart spi
        rtos battery voltage pwm adc fpga risc stm32 esp32 bluetooth lora motor drone robotics
        breadboard capacitor resistor pcb jtag watchdog telemetry thermostat wearable antenna
        debouncing millivolt""",
    "compilers": """llvm lexer grammar syntax bytecode jit inlining vectorization ssa typechecker
        inference-rule monad closure macro linker codegen rust haskell ocaml lambda-calculus
        polymorphism generics unrolling constant folding peephole dataflow-analysis frontend
        backend semantics garbage collector coroutine lowering desugaring""",
}

# _SHARED[i] belongs to topic i and to the next one round the ring.
_SHARED = [
    "schema query partition storage migration sql retention aggregate",
    "feature dataset model pipeline-run training drift sampling experiment",
    "gpu tensor vector matrix image shader-model convolution interpolation",
    "canvas animation rendering webgl layout pixel color frame",
    "portfolio designer freelance usability prototype tutorial community hackathon",
    "certification training-course incident policy trust compliance audit remotework",
    "firewall vpn tls proxy port packet-filter traffic handover",
    "latency load balancer mesh-network endpoint edge throughput failover",
    "container virtualization hypervisor node cluster image-layer scheduling isolation-level",
    "driver memory interrupt boot firmware realtime device timer",
    "assembly register instruction toolchain cross-compile binary stack pointer",
    "parser planner expression optimization cost rewriting execution type",
]

_FILLERS = """
    the a of and to in for with on from how why what when new better simple guide notes lessons
    week year people work things way part look inside building using making learning small large
    fast slow good bad old first last next every some many few more less time day story question
    answer problem idea reason change start end before after while without about under over
    between again finally really almost never always often maybe practical modern hidden honest
    deep short long
"""

FILLERS = tuple(_FILLERS.split())
TOPICS = tuple(_OWN)


def _vocabulary() -> tuple[tuple[str, ...], ...]:
    """Words of every topic: its own, and those shared with the topic before and after it."""
    own = [words.split() for words in _OWN.values()]
    shared = [words.split() for words in _SHARED]
    return tuple(tuple(own[i] + shared[i] + shared[i - 1]) for i in range(len(own)))


TOPIC_WORDS = _vocabulary()
_POOLS = (*TOPIC_WORDS, FILLERS)


def compose(rng: np.random.Generator, weights: NDArray[np.float64]) -> tuple[str, str]:
    """Title and body of a text that draws its words from topics by `weights` [topics], sum 1."""
    padded = np.zeros(len(_POOLS))
    padded[: len(weights)] = weights * (1 - FILLER_SHARE)
    padded[-1] = FILLER_SHARE
    n_title = int(rng.integers(*TITLE_WORDS, endpoint=True))
    n_body = int(rng.integers(*BODY_WORDS, endpoint=True))
    words = _draw(rng, padded, n_title + n_body)
    title, body = " ".join(words[:n_title]), " ".join(words[n_title:])
    return title.capitalize(), body.capitalize() + "."


def _draw(rng: np.random.Generator, weights: NDArray[np.float64], n: int) -> list[str]:
    """`n` words, each from a pool chosen by `weights`; never the same word twice in a row."""
    words: list[str] = []
    while len(words) < n:
        for pool, place in zip(rng.choice(len(_POOLS), n, p=weights), rng.random(n), strict=True):
            word = _POOLS[pool][int(place * len(_POOLS[pool]))]
            if not words or words[-1] != word:
                words.append(word)
    return words[:n]
