//! [`Slots`]: how much of the machine is taken. A task starts where it fits, and a task that
//! is larger than the machine starts alone.

use dermflow_core::Resources;

/// CPU and memory, taken and given back by the scheduler.
#[derive(Debug)]
pub(crate) struct Slots {
    jobs: usize,
    memory: u64,
    taken_jobs: usize,
    taken_memory: u64,
}

/// What one task takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    jobs: usize,
    memory: u64,
}

impl Slots {
    /// `jobs` threads and `memory` bytes.
    pub fn new(jobs: usize, memory: u64) -> Slots {
        Slots {
            jobs: jobs.max(1),
            memory,
            taken_jobs: 0,
            taken_memory: 0,
        }
    }

    /// What a task with these needs takes of this machine, never more than all of it.
    pub fn claim(&self, needs: Resources) -> Claim {
        Claim {
            jobs: if needs.threads == 0 {
                self.jobs
            } else {
                needs.threads.min(self.jobs)
            },
            memory: needs.memory.min(self.memory),
        }
    }

    /// Takes the claim, if it fits.
    pub fn take(&mut self, claim: Claim) -> bool {
        let fits = self.taken_jobs + claim.jobs <= self.jobs
            && self.taken_memory.saturating_add(claim.memory) <= self.memory;
        if fits {
            self.taken_jobs += claim.jobs;
            self.taken_memory += claim.memory;
        }
        fits
    }

    /// Gives it back.
    pub fn give_back(&mut self, claim: Claim) {
        self.taken_jobs -= claim.jobs;
        self.taken_memory -= claim.memory;
    }

    /// How many threads are left.
    pub fn idle(&self) -> usize {
        self.jobs - self.taken_jobs
    }

    /// Whether no thread is left.
    pub fn full(&self) -> bool {
        self.taken_jobs >= self.jobs
    }
}

/// Four fifths of this machine's memory.
pub(crate) fn usual_memory() -> u64 {
    let system = rustix::system::sysinfo();
    (system.totalram as u64).saturating_mul(u64::from(system.mem_unit)) / 5 * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_start_where_they_fit_and_a_task_larger_than_the_machine_starts_alone() {
        let mut slots = Slots::new(2, 100);
        let small = slots.claim(Resources {
            memory: 40,
            threads: 1,
        });
        let huge = slots.claim(Resources {
            memory: 1000,
            threads: 0,
        });
        assert!(slots.take(small));
        assert!(!slots.take(huge));
        assert!(slots.take(small));
        assert!(slots.full());
        assert!(!slots.take(small));
        slots.give_back(small);
        slots.give_back(small);
        assert!(slots.take(huge));
        assert!(slots.full());
    }
}
