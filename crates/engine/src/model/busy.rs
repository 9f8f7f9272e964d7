//! Which servers run jobs, by what a queue tells. Job systems know hosts and addresses, and no
//! instance ids.

use std::collections::BTreeMap;

use super::instance::InstanceId;
use super::reading::Work;

/// The names by which a job system may know a server.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    pub id: &'a InstanceId,
    pub private_ip: Option<&'a str>,
    /// The whole name; its first label counts as well.
    pub private_dns: Option<&'a str>,
}

impl<'a> Names<'a> {
    /// The names, in small letters as host names are compared.
    fn all(self) -> impl Iterator<Item = String> + use<'a> {
        let label = self.private_dns.and_then(|dns| dns.split('.').next());
        let names = [Some(self.id.as_str()), self.private_ip, self.private_dns, label];
        names.into_iter().flatten().map(str::to_ascii_lowercase)
    }
}

/// Jobs by server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// A server that is left out has none.
    pub by_server: BTreeMap<InstanceId, u32>,
    /// Jobs on a server that is not known: any of them may be the one.
    pub elsewhere: Option<Elsewhere>,
}

/// Jobs that run, and on no known server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The name that the queue told; `None`: more jobs run than it names servers for.
    pub key: Option<String>,
    pub jobs: u64,
}

impl Busy {
    /// Returns where jobs run; `None` if the queue does not tell. `ended`: whether a name is that of a
    /// server that has ended, whose jobs are no more than locked.
    pub fn place(work: &Work, servers: &[Names<'_>], ended: impl Fn(&str) -> bool) -> Option<Self> {
        let told = work.busy.as_ref()?;
        let known: BTreeMap<String, &InstanceId> = servers
            .iter()
            .flat_map(|server| server.all().map(move |name| (name, server.id)))
            .collect();
        let mut busy = Self::default();
        let mut sum: u64 = 0;
        for (key, jobs) in told.iter().filter(|(_, jobs)| **jobs > 0) {
            let name = key.as_str();
            sum = sum.saturating_add(u64::from(*jobs));
            if let Some(id) = known.get(&name.to_ascii_lowercase()) {
                let known = busy.by_server.entry((*id).clone()).or_default();
                *known = known.saturating_add(*jobs);
            } else if busy.elsewhere.is_none() && !ended(name) {
                let (key, jobs) = (Some(name.to_owned()), u64::from(*jobs));
                busy.elsewhere = Some(Elsewhere { key, jobs });
            }
        }
        let more = work.running.unwrap_or(0).saturating_sub(sum);
        if more > 0 && busy.elsewhere.is_none() {
            busy.elsewhere = Some(Elsewhere { key: None, jobs: more });
        }
        Some(busy)
    }

    /// Returns the number of jobs on a server, as far as they are placed.
    pub fn on(&self, id: &InstanceId) -> u32 {
        self.by_server.get(id).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(told: &[(&str, u32)], running: Option<u64>) -> Busy {
        let (first, second) = (InstanceId::new("i-1"), InstanceId::new("i-2"));
        let busy = told.iter().map(|(key, jobs)| (InstanceId::new(key), *jobs)).collect();
        let work = Work { busy: Some(busy), running, ..Work::default() };
        let servers = [
            Names {
                id: &first,
                private_ip: Some("10.0.1.23"),
                private_dns: Some("ip-10-0-1-23.ec2.internal"),
            },
            Names { id: &second, private_ip: None, private_dns: None },
        ];
        Busy::place(&work, &servers, |key| key == "i-gone").unwrap()
    }

    #[test]
    fn server_is_known_by_id_address_and_host_name() {
        for name in
            ["i-1", "10.0.1.23", "ip-10-0-1-23.ec2.internal", "ip-10-0-1-23", "IP-10-0-1-23"]
        {
            let busy = placed(&[(name, 2)], Some(2));
            assert_eq!((busy.on(&InstanceId::new("i-1")), busy.elsewhere), (2, None), "{name}");
        }
    }

    #[test]
    fn jobs_on_unknown_servers_are_elsewhere() {
        let elsewhere = |told: &[(&str, u32)], running| placed(told, running).elsewhere;
        let key = |key: &str, jobs| Some(Elsewhere { key: Some(key.to_owned()), jobs });
        assert_eq!(elsewhere(&[("ip-172-31-0-99", 2)], Some(4)), key("ip-172-31-0-99", 2));
        assert_eq!(elsewhere(&[("i-1", 2)], Some(4)), Some(Elsewhere { key: None, jobs: 2 }));
        assert_eq!(elsewhere(&[("worker-7", 0), ("i-1", 1)], Some(1)), None, "an idle host");
        assert_eq!(elsewhere(&[("i-gone", 3)], None), None, "what it ran is over");
        assert_eq!(elsewhere(&[], None), None);
    }
}
