//! Counts the primes below `with.below` with a sieve, and leaves how many: loops that do little at each turn, and never
//! look up by themselves.

use guests::{Failure, Outcome, Request, json, left};

guests::guest!(reconcile);

fn reconcile(request: Request) -> Result<Outcome, Failure> {
    let below = guests::with(&request)["below"].as_u64().unwrap_or(0) as usize;
    let mut is_prime = vec![true; below];
    for number in 2..below {
        if is_prime[number] {
            let multiples = is_prime.iter_mut().skip(number * number);
            multiples
                .step_by(number)
                .for_each(|multiple| *multiple = false);
        }
        if number * number >= below {
            break;
        }
    }
    let primes = is_prime.iter().skip(2).filter(|is_prime| **is_prime);
    left(json!({"primes": primes.count()}))
}
