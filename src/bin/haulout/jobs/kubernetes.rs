//! Objects of Kubernetes that start a job: a `CronJob` whose pod runs beside the server that it
//! backs up, what it may reach, and the claim for what it remembers.
//!
//! - mariabackup reads the volume of a server, so that the pod is on the node of that server's pod
//!   and mounts its claim, to read.
//! - Files with secrets come from one Secret, whose keys are their names; each is where the
//!   configuration has it.
//! - A pod that is killed can't say what it left: nothing is repeated by Kubernetes, and the next
//!   run begins where the last checkpoint is.
//! - A schedule that a `CronJob` can't express exactly is refused.
//!
//! Source: the API reference of Kubernetes, `batch/v1` and `networking.k8s.io/v1`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use haulout::store::location::Location;
use serde_json::Value;
use serde_json::json;

use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::plan::state_dir;
use crate::jobs::units::Unit;
use crate::jobs::yaml;

/// Keys that name a file with a secret.
const SECRET_FILES: [&str; 6] = [
    "password_file",
    "credentials_file",
    "access_key_file",
    "secret_key_file",
    "ca_file",
    "defaults_file",
];
/// The data directory of a server in its pod, and in the pod of the job.
const DATA_DIRECTORY: &str = "/var/lib/mysql";
/// The port of servers.
const SERVER_PORT: u16 = 3306;
/// A job that could not be started for this long is left out, seconds.
const START_SECONDS: u32 = 3600;
/// A run that takes longer is ended, seconds: 23 hours.
const RUN_SECONDS: u32 = 23 * 3600;
/// The time that a run is given to end once it was asked to, seconds.
const STOP_SECONDS: u32 = 120;
/// Jobs that have ended are removed after this time, seconds: a week.
const KEPT_SECONDS: u32 = 7 * 24 * 3600;

/// What a cluster calls its parts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct ClusterArguments {
    /// Image with haulout and the tools of MariaDB
    #[arg(
        long,
        hide_short_help = true,
        value_name = "IMAGE",
        default_value = concat!("haulout:", env!("CARGO_PKG_VERSION"))
    )]
    pub(crate) image: String,

    /// Stateful set of the servers, whose service has the same name
    #[arg(long, hide_short_help = true, value_name = "NAME", default_value = "mariadb")]
    pub(crate) servers: String,

    /// Number of its pods
    #[arg(
        long,
        hide_short_help = true,
        value_name = "N",
        default_value = "3",
        value_parser = clap::value_parser!(u32).range(1..=99)
    )]
    pub(crate) replicas: u32,

    /// The pod that is backed up: a number, or highest
    #[arg(
        long,
        hide_short_help = true,
        value_name = "N",
        default_value = "highest",
        value_parser = ordinal
    )]
    pub(crate) ordinal: Ordinal,

    /// Volume claim of the data directory in the stateful set
    #[arg(long, hide_short_help = true, value_name = "NAME", default_value = "data")]
    pub(crate) claim: String,

    /// Numbers of the user and the group that own the data directory
    #[arg(long, hide_short_help = true, value_name = "N", default_value = "999")]
    pub(crate) uid: u32,
}

/// The pod of a stateful set that is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ordinal {
    Highest,
    Number(u32),
}

fn ordinal(text: &str) -> Result<Ordinal, String> {
    if text == "highest" {
        return Ok(Ordinal::Highest);
    }
    text.parse().map(Ordinal::Number).map_err(|_| "it is neither highest nor a number".to_owned())
}

/// A job as a cluster runs it.
struct Manifest<'m> {
    unit: &'m Unit<'m>,
    cluster: &'m ClusterArguments,
    /// The name of all objects.
    name: String,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
}

/// Returns the objects of a job as YAML.
pub(crate) fn manifest(unit: &Unit<'_>, cluster: &ClusterArguments) -> Outcome<String> {
    refuse(unit, cluster)?;
    let name = format!("haulout-{}", unit.name);
    let (volumes, mounts) = (Vec::new(), Vec::new());
    let mut manifest = Manifest { unit, cluster, name, volumes, mounts };
    let secrets = manifest.secrets()?;
    manifest.directories(ReadOnly::Yes);
    let comment = manifest.comment(&secrets);
    let zone = unit.job.text("timezone").unwrap_or_default();
    Ok(yaml::documents(&[
        (comment, manifest.cron_job(zone)),
        ("What the job remembers between its runs".to_owned(), manifest.state_claim()),
        ("What the pod may reach; nothing may reach it".to_owned(), manifest.network_policy()),
    ]))
}

/// Returns the objects of a restore of the server that the job backs up, as YAML.
pub(crate) fn restore(unit: &Unit<'_>, cluster: &ClusterArguments) -> Outcome<String> {
    refuse_name(unit)?;
    let is_physical = |source: &&Table| source.text("kind") == Some("mariabackup");
    if !unit.sources().iter().any(is_physical) {
        return Err(Failure::usage(
            format!("the job {} backs up no files of a server", unit.name),
            "restore a dump with haulout restore --load into a server that runs",
        ));
    }
    // The set starts its first pod alone, which the others join.
    let cluster = &ClusterArguments { ordinal: Ordinal::Number(0), ..cluster.clone() };
    let name = format!("haulout-{}-restore", unit.name);
    let (volumes, mounts) = (Vec::new(), Vec::new());
    let mut manifest = Manifest { unit, cluster, name, volumes, mounts };
    manifest.secrets()?;
    manifest.directories(ReadOnly::No);
    let comment = manifest.restore_comment();
    Ok(yaml::documents(&[(comment, manifest.restore_job())]))
}

/// Refuses what a pod of a `CronJob` can't do as the configuration says it.
fn refuse(unit: &Unit<'_>, cluster: &ClusterArguments) -> Outcome<()> {
    refuse_name(unit)?;
    let name = unit.name;
    if let Some(jitter) = unit.job.text("jitter") {
        return Err(Failure::usage(
            format!("a CronJob can't express jitter = {jitter:?} of {name}"),
            "it starts at the minute: leave jitter out",
        ));
    }
    if unit.job.text("timezone").is_none_or(|zone| zone == "local") {
        return Err(Failure::usage(
            format!("a CronJob can't express the zone of this host, in which {name} is scheduled"),
            "name the zone, as in timezone = \"Europe/Berlin\" or \"UTC\"",
        ));
    }
    if let Ordinal::Number(number) = cluster.ordinal
        && number >= cluster.replicas
    {
        return Err(Failure::usage(
            format!("there is no pod {number} of {} pods", cluster.replicas),
            "the first pod is 0; check --ordinal and --replicas",
        ));
    }
    let files = unit.sources().into_iter().find(|source| source.text("kind") == Some("files"));
    if files.is_some() {
        return Err(Failure::usage(
            format!("a pod does not have the files that the job {name} backs up"),
            "back up files by a job on their host, and leave the source out of this one",
        ));
    }
    Ok(())
}

/// Refuses a job whose name no object can have.
fn refuse_name(unit: &Unit<'_>) -> Outcome<()> {
    let name = unit.name;
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.chars().all(is_fit) || name.ends_with('-') {
        return Err(Failure::usage(
            format!("{name} is no name of an object in Kubernetes"),
            "give the job a name of lower case letters, digits and hyphens",
        ));
    }
    Ok(())
}

impl Manifest<'_> {
    fn pod(&self) -> String {
        let number = match self.cluster.ordinal {
            Ordinal::Highest => self.cluster.replicas - 1,
            Ordinal::Number(number) => number,
        };
        format!("{}-{number}", self.cluster.servers)
    }

    fn comment(&self, secrets: &BTreeMap<String, String>) -> String {
        let name = &self.name;
        let files = secrets.iter().map(|(key, path)| format!("  --from-file={key}={path}"));
        let files: Vec<String> = files.collect();
        let mut comment = format!(
            "The job {}. An exit status of 3 (findings) or 4 counts as failed here.\n\
             The files that it needs:\n  kubectl create secret generic {name} \\\n{}",
            self.unit.name,
            files.join(" \\\n")
        );
        for claim in self.claims() {
            comment.extend(["\nThe claim ", &claim, " must exist: it has the repository."]);
        }
        comment
    }

    /// Returns the files of the Secret by their keys, and mounts them where they are expected.
    fn secrets(&mut self) -> Outcome<BTreeMap<String, String>> {
        let mut paths = BTreeSet::from([self.unit.config.path.display().to_string()]);
        let tables = self.unit.sources().into_iter().chain(self.unit.repositories());
        let ping = self.unit.job.table("ping");
        let of = |table: &Table, keys: &[&str]| -> Vec<String> {
            keys.iter().filter_map(|key| table.text(key)).map(str::to_owned).collect()
        };
        paths.extend(tables.flat_map(|table| of(table, &SECRET_FILES)));
        paths.extend(ping.map(|ping| of(ping, &["url_file", "ca_file"])).unwrap_or_default());
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        let mut directories: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for path in paths {
            let file = Path::new(&path);
            let key = file.file_name().map(|name| name.display().to_string()).unwrap_or_default();
            let directory = file.parent().unwrap_or(Path::new("/")).display().to_string();
            if let Some(other) = keys.insert(key.clone(), path.clone()) {
                return Err(Failure::usage(
                    format!("{other} and {path} have the same name, and would be one key"),
                    "give the files of the job different names",
                ));
            }
            directories.entry(directory).or_default().push(json!({ "key": key, "path": key }));
        }
        for (index, (directory, items)) in directories.into_iter().enumerate() {
            let secret = json!({
                "secretName": format!("haulout-{}", self.unit.name),
                "defaultMode": 0o440,
                "items": items,
            });
            self.mount(&format!("files-{index}"), &directory, ReadOnly::Yes, ("secret", secret));
        }
        Ok(keys)
    }

    /// Mounts the directories that the job reads and writes, and the data of the server.
    fn directories(&mut self, server: ReadOnly) {
        let is_physical = |source: &&Table| source.text("kind") == Some("mariabackup");
        if self.unit.sources().iter().any(is_physical) {
            let claim = format!("{}-{}", self.cluster.claim, self.pod());
            let mut claim = json!({ "claimName": claim });
            if server == ReadOnly::Yes {
                claim["readOnly"] = json!(true);
            }
            let claim = ("persistentVolumeClaim", claim);
            self.mount("server", DATA_DIRECTORY, server, claim);
        }
        for (name, directory) in self.unit.directories() {
            let claim = json!({ "claimName": claim_of(&name) });
            let claim = ("persistentVolumeClaim", claim);
            self.mount(&claim_of(&name), &directory, ReadOnly::No, claim);
        }
        let state = state_dir(self.unit.config).display().to_string();
        let claim = json!({ "claimName": format!("haulout-{}-state", self.unit.name) });
        self.mount("state", &state, ReadOnly::No, ("persistentVolumeClaim", claim));
        let written: BTreeSet<String> =
            self.unit.writable().into_iter().chain(["/tmp".to_owned()]).collect();
        let is_mounted = |path: &String| {
            let mounted = self.mounts.iter().filter_map(|mount| mount["mountPath"].as_str());
            mounted.into_iter().any(|known| known == path)
        };
        let others: Vec<String> = written.into_iter().filter(|path| !is_mounted(path)).collect();
        for (index, path) in others.iter().enumerate() {
            self.mount(&format!("scratch-{index}"), path, ReadOnly::No, ("emptyDir", json!({})));
        }
    }

    fn claims(&self) -> Vec<String> {
        self.unit.directories().iter().map(|(name, _)| claim_of(name)).collect()
    }

    fn mount(&mut self, name: &str, path: &str, read_only: ReadOnly, kind: (&str, Value)) {
        let (kind, of_kind) = kind;
        self.volumes.push(json!({ "name": name, kind: of_kind }));
        let mut mount = json!({ "name": name, "mountPath": path });
        if read_only == ReadOnly::Yes {
            mount["readOnly"] = json!(true);
        }
        self.mounts.push(mount);
    }

    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "labels": self.labels() })
    }

    fn labels(&self) -> Value {
        json!({ "app.kubernetes.io/name": "haulout", "app.kubernetes.io/instance": self.name })
    }

    fn cron_job(&self, zone: &str) -> Value {
        json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": self.metadata(&self.name),
            "spec": {
                "schedule": self.unit.schedule.cron(),
                "timeZone": zone,
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": START_SECONDS,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {
                    "spec": {
                        "backoffLimit": 0,
                        "activeDeadlineSeconds": RUN_SECONDS,
                        "ttlSecondsAfterFinished": KEPT_SECONDS,
                        "template": {
                            "metadata": { "labels": self.labels() },
                            "spec": self.pod_spec(),
                        },
                    },
                },
            },
        })
    }

    /// Returns the rights of a pod: those of the user that owns the data directory.
    fn pod_security(&self) -> Value {
        let uid = self.cluster.uid;
        json!({
            "runAsNonRoot": true,
            "runAsUser": uid,
            "runAsGroup": uid,
            "fsGroup": uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    }

    fn pod_spec(&self) -> Value {
        let config = self.unit.config.path.display().to_string();
        let mut spec = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": STOP_SECONDS,
            "securityContext": self.pod_security(),
            "initContainers": [self.container("wait-for-servers", &self.waiting())],
            "containers": [self.container("haulout", &[
                "haulout".to_owned(),
                "--config".to_owned(),
                config,
                "--log-format".to_owned(),
                "json".to_owned(),
                "run".to_owned(),
                self.unit.name.to_owned(),
                "--scheduled".to_owned(),
            ])],
            "volumes": self.volumes,
        });
        spec["containers"][0]["volumeMounts"] = json!(self.mounts);
        if self.volumes.iter().any(|volume| volume["name"] == "server") {
            spec["affinity"] = self.affinity();
        }
        spec
    }

    fn container(&self, name: &str, command: &[String]) -> Value {
        json!({
            "name": name,
            "image": self.cluster.image,
            "command": command,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
        })
    }

    /// Returns the command that waits until every server takes connections: a cluster that has
    /// just started, or lost a member, is left alone.
    fn waiting(&self) -> [String; 3] {
        let servers = &self.cluster.servers;
        let hosts: Vec<String> =
            (0..self.cluster.replicas).map(|n| format!("{servers}-{n}.{servers}")).collect();
        let script = format!(
            "for host in {}; do until timeout 5 bash -c \"exec 3<>/dev/tcp/$host/{SERVER_PORT}\"; \
             do sleep 5; done; done",
            hosts.join(" ")
        );
        ["bash".to_owned(), "-c".to_owned(), script]
    }

    /// Keeps the pod on the node of the server whose volume it reads.
    fn affinity(&self) -> Value {
        json!({
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {
                        "matchLabels": { "statefulset.kubernetes.io/pod-name": self.pod() },
                    },
                }],
            },
        })
    }

    /// Tells what to do with the objects of a restore.
    fn restore_comment(&self) -> String {
        let ClusterArguments { servers, claim, replicas, .. } = self.cluster;
        let (name, job) = (&self.name, self.unit.name);
        let others = (1..*replicas).map(|number| format!(" {claim}-{servers}-{number}"));
        let mut comment = format!(
            "Restores the server of the job {job}. It has the Secret haulout-{job} of that job.\n\
             1. Stop all servers; what they hold is kept in the volume of {servers}-0 only:\n  \
             kubectl scale statefulset {servers} --replicas 0\n  \
             kubectl wait --for=delete pod/{} --timeout=10m\n\
             2. Verify, restore, prepare and try the backup. The old data stay in the volume; if\n\
             it has no room for both, add --discard-old-data to the command below:\n  \
             kubectl apply -f haulout-{job}-restore.yaml\n  \
             kubectl wait --for=condition=complete job/{name} --timeout=24h\n",
            self.pod(),
        );
        if *replicas > 1 {
            comment.extend([format!(
                "3. Remove the data of the others: an old member must not join the new cluster.\n  \
                 kubectl delete pvc{}\n",
                others.collect::<String>()
            )]);
        }
        comment.extend([format!(
            "4. Start the servers, and wait until all are ready:\n  \
             kubectl scale statefulset {servers} --replicas {replicas}\n  \
             kubectl rollout status statefulset {servers} --timeout=24h"
        )]);
        comment
    }

    /// Returns the job that verifies, and then restores.
    fn restore_job(&self) -> Value {
        let is_physical = |name: &String| {
            let source = self.unit.config.source(name);
            source.and_then(|source| source.text("kind")) == Some("mariabackup")
        };
        let source = self.unit.job.texts("sources").into_iter().find(is_physical);
        let snapshot = format!("{}@complete", source.unwrap_or_default());
        let config = self.unit.config.path.display().to_string();
        let repository = self.unit.job.text("repository").unwrap_or_default();
        let command = |words: &[&str]| -> Vec<String> {
            let first = ["haulout", "--config", &config, "--repo", repository];
            first.iter().chain(words).map(|word| (*word).to_owned()).collect()
        };
        let verify = command(&["verify", &snapshot, "--depth", "stored"]);
        let words = ["restore", &snapshot, "--datadir", DATA_DIRECTORY, "--yes"];
        let mut verify = self.container("verify", &verify);
        let mut restore = self.container("restore", &command(&words));
        verify["volumeMounts"] = json!(self.mounts);
        restore["volumeMounts"] = json!(self.mounts);
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": self.metadata(&self.name),
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": { "labels": self.labels() },
                    "spec": {
                        "restartPolicy": "Never",
                        "automountServiceAccountToken": false,
                        "terminationGracePeriodSeconds": STOP_SECONDS,
                        "securityContext": self.pod_security(),
                        "initContainers": [verify],
                        "containers": [restore],
                        "volumes": self.volumes,
                    },
                },
            },
        })
    }

    fn state_claim(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.metadata(&format!("{}-state", self.name)),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "1Gi" } },
            },
        })
    }

    fn network_policy(&self) -> Value {
        let port = |protocol: &str, port: u16| json!({ "protocol": protocol, "port": port });
        let mut egress = vec![
            json!({ "ports": [port("UDP", 53), port("TCP", 53)] }),
            json!({ "to": [{ "podSelector": {} }], "ports": [port("TCP", SERVER_PORT)] }),
        ];
        let ports: Vec<Value> =
            self.ports().into_iter().map(|number| port("TCP", number)).collect();
        if !ports.is_empty() {
            egress.push(json!({ "ports": ports }));
        }
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self.metadata(&self.name),
            "spec": {
                "podSelector": { "matchLabels": self.labels() },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [],
                "egress": egress,
            },
        })
    }

    /// Returns the ports of object stores and of the monitor.
    fn ports(&self) -> BTreeSet<u16> {
        let is_bucket = |table: &&Table| {
            let place = table.text("url").and_then(|url| Location::parse(url).ok());
            matches!(place, Some(Location::Bucket { .. }))
        };
        let repositories = self.unit.repositories();
        let stores = repositories.iter().copied().filter(is_bucket);
        let stores = stores.map(|table| table.text("endpoint").unwrap_or("https://"));
        // The address of a ping may be in a file: then it is taken for one of HTTPS.
        let ping = self.unit.job.table("ping");
        let ping = ping.map(|ping| ping.text("url").unwrap_or("https://"));
        stores.chain(ping).map(port_of).collect()
    }
}

/// Whether a volume is mounted to be read only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadOnly {
    Yes,
    No,
}

/// Returns the claim of the repository with a name.
fn claim_of(repository: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("haulout-repository-{}", repository.chars().map(fit).collect::<String>())
}

/// Returns the port of an address, which is that of its scheme if it has none.
fn port_of(address: &str) -> u16 {
    let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(if scheme == "http" { 80 } else { 443 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_an_address_is_its_own_or_that_of_its_scheme() {
        for (address, port) in [
            ("https://s3.example.org", 443),
            ("http://s3:9000/", 9000),
            ("http://hc/uuid?x=1:2", 80),
            ("https://[::1]:8443/x", 8443),
        ] {
            assert_eq!(port_of(address), port, "{address}");
        }
    }

    #[test]
    fn a_pod_is_named_by_its_number_or_as_the_highest() {
        assert_eq!(ordinal("highest"), Ok(Ordinal::Highest));
        assert_eq!(ordinal("2"), Ok(Ordinal::Number(2)));
        assert!(ordinal("last").is_err());
        assert_eq!(claim_of("off_Site.2"), "haulout-repository-off-site-2");
    }
}
