/* A processor without int8 instructions, on one that has them: hides AVX-512, AMX and VNNI.

     gcc -O2 -shared -fPIC -o avx2_only.so benchmarks/avx2_only.c
     LD_PRELOAD=$PWD/avx2_only.so kit compare float.kit small.kit --data RUN

   Libraries ask the CPUID instruction what there is, and choose their kernels by the answer. Linux
   can make that instruction fault (arch_prctl(2), flag cpuid_fault in /proc/cpuinfo); the handler
   here answers in its place, without these features. The kernels then run as fast as they are. */

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { LENGTH = 2, FEATURES = 7 }; /* of the instruction 0F A2; the leaf that names extensions */

/* Bits of leaf 7, subleaf 0: Intel's manual, volume 2A, CPUID. */
static const unsigned HIDDEN_B = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const unsigned HIDDEN_C = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const unsigned HIDDEN_D = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;

static void let_cpuid(int allowed)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed)) {
        perror("avx2_only: this processor or kernel can't hide what there is");
        _exit(1);
    }
}

static void answer(int number, siginfo_t *why, void *context)
{
    (void)why;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)registers[REG_RIP];
    if (code[0] != 0x0F || code[1] != 0xA2) { /* a fault of another kind */
        signal(number, SIG_DFL);
        return;
    }
    unsigned a, b, c, d, leaf = registers[REG_RAX], subleaf = registers[REG_RCX];
    let_cpuid(1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    let_cpuid(0);
    if (leaf == FEATURES && subleaf == 0) {
        b &= ~HIDDEN_B;
        c &= ~HIDDEN_C;
        d &= ~HIDDEN_D;
    } else if (leaf == FEATURES) { /* AVX-VNNI and the newer ones */
        a = b = c = d = 0;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += LENGTH;
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    let_cpuid(0);
}
