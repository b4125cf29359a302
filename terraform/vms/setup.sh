# Second part of a client VM's first boot; user_data.sh.tftpl comes before it and sets the variables root, etc, lib, state
# and started_at. Each step either succeeds or ends the boot with the status `error` and a line that names the step.

step="read client.env"
container=lablink-client

log() { printf 'lablink: %s\n' "$*"; }

# post PATH JSON SECONDS: to the allocator, again and again for that long. The token goes in by stdin: arguments are
# readable by every process of the VM.
post() {
    printf 'header = "Authorization: Bearer %s"\n' "$API_TOKEN" |
        curl --config - --silent --show-error --fail --output /dev/null --connect-timeout 10 --max-time 20 \
            --retry 20 --retry-connrefused --retry-max-time "$3" \
            --header 'Content-Type: application/json' --data "$2" "$ALLOCATOR_URL$1"
}

post_status() {
    post /api/vm-status "{\"hostname\": \"$VM_NAME\", \"status\": \"$1\"}" "$2" ||
        log "the allocator at $ALLOCATOR_URL did not take the status '$1'"
}

give_up() {
    trap - ERR
    log "step '$step' failed with exit code $1; this VM will not come up, see the lines above"
    [ -z "${API_TOKEN:-}" ] || post_status error 300
    exit "$1"
}
trap 'give_up $?' ERR

run_step() {
    step=$1
    log "$step"
    "$2"
}

# Three tries: package and image registries have bad moments, above all when fifty VMs boot at once.
persist() {
    local try
    for try in 1 2; do
        "$@" && return
        log "try $try of 3 failed: $1 ${2:-}"
        sleep 10
    done
    "$@"
}

# Line by line, never sourced: the values are whatever somebody wrote into a file.
read_environment() {
    local line
    while IFS= read -r line; do
        printf -v "${line%%=*}" %s "${line#*=}"
        [ "${line%%=*}" = API_TOKEN ] || export "${line%%=*}"
    done <"$etc/client.env"
    export HOME=${HOME:-/root} DEBIAN_FRONTEND=noninteractive
}

apt_install() {
    if ! command -v apt-get >/dev/null; then
        log "$* is missing and this AMI has no apt-get; choose an Ubuntu AMI or one that has it"
        return 1
    fi
    persist apt-get -q -o DPkg::Lock::Timeout=300 update
    persist apt-get -q -y -o DPkg::Lock::Timeout=300 install "$@"
}

download() {
    persist curl --silent --show-error --fail --location --max-time 300 --output "$2" "$1"
}

write_agent_config() {
    local gpu_gauges=""
    if [ "$LABLINK_GPU" = true ]; then
        gpu_gauges=', "nvidia_gpu": {"measurement": ["utilization_gpu", "memory_used", "temperature_gpu"]}'
    fi
    cat >"$etc/cloudwatch.json" <<AGENT
{
  "agent": {"region": "$AWS_REGION"},
  "logs": {"logs_collected": {"files": {"collect_list": [
    {"file_path": "/var/log/cloud-init-output.log", "log_group_name": "$CLOUD_INIT_LOG_GROUP", "log_stream_name": "$VM_NAME"}
  ]}}},
  "metrics": {
    "namespace": "LabLink",
    "append_dimensions": {"InstanceId": "\${aws:InstanceId}"},
    "metrics_collected": {
      "cpu": {"measurement": ["usage_active"], "totalcpu": true},
      "mem": {"measurement": ["used_percent"]},
      "disk": {"measurement": ["used_percent"], "resources": ["/"]}$gpu_gauges
    }
  }
}
AGENT
}

start_cloudwatch_agent() {
    local ctl=$root/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
    local package=$state/amazon-cloudwatch-agent.deb
    if [ ! -x "$ctl" ]; then
        download "https://amazoncloudwatch-agent.s3.amazonaws.com/ubuntu/$(dpkg --print-architecture)/latest/amazon-cloudwatch-agent.deb" "$package"
        dpkg --install "$package"
    fi
    write_agent_config
    "$ctl" -a fetch-config -m ec2 -s -c "file:$etc/cloudwatch.json"
}

start_docker() {
    command -v docker >/dev/null || apt_install docker.io
    systemctl enable --now docker
}

prepare_gpu() {
    if [ "$LABLINK_GPU" != true ]; then
        return
    fi
    if ! nvidia-smi; then
        log "the pool wants a GPU, and this VM shows none: the AMI lacks the driver or the GPU is broken"
        return 1
    fi
    if ! command -v nvidia-ctk >/dev/null; then
        local keyring=$root/usr/share/keyrings/nvidia-container-toolkit.asc
        download https://nvidia.github.io/libnvidia-container/gpgkey "$keyring"
        printf 'deb [signed-by=%s] https://nvidia.github.io/libnvidia-container/stable/deb/%s /\n' \
            "$keyring" "$(dpkg --print-architecture)" >"$root/etc/apt/sources.list.d/nvidia-container-toolkit.list"
        apt_install nvidia-container-toolkit
    fi
    nvidia-ctk runtime configure --runtime=docker
    systemctl restart docker
}

run_startup_script() {
    local code=0
    if [ ! -s "$etc/startup.sh" ]; then
        return
    fi
    bash "$etc/startup.sh" </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        log "start-up script ended with exit code $code; on_error is '$STARTUP_ON_ERROR'"
        [ "$STARTUP_ON_ERROR" = continue ] || return "$code"
    fi
}

# The host's network: Chrome Remote Desktop's peers reach the VM without a second translation. The container's output goes
# to the VM's log stream without waiting, so that a silent CloudWatch stops no desktop.
start_container() {
    local options=(--detach --name "$container" --restart unless-stopped --network host --env-file "$etc/client.env"
        --log-driver awslogs --log-opt mode=non-blocking --log-opt "awslogs-region=$AWS_REGION"
        --log-opt "awslogs-group=$CLOUD_INIT_LOG_GROUP" --log-opt "awslogs-stream=$VM_NAME")
    if [ "$LABLINK_GPU" = true ]; then
        options+=(--gpus all)
    fi
    container_start=$(date +%s)
    persist docker pull --quiet "$LABLINK_IMAGE"
    { printf 'docker run' && printf ' %q' "${options[@]}" "$LABLINK_IMAGE" && printf '\n'; } >"$lib/run_container.sh"
    bash "$lib/run_container.sh"  # as the reporter does for the next person
    container_end=$(date +%s)
}

start_reporter() {
    local units=$root/etc/systemd/system
    cat >"$units/lablink-reporter.service" <<UNIT
[Unit]
Description=LabLink reporter: one look at this VM, told to the allocator
After=docker.service network-online.target

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 $lib/reporter.py
TimeoutStartSec=120
SyslogLevel=notice
LogLevelMax=notice
UNIT
    cat >"$units/lablink-reporter.timer" <<UNIT
[Unit]
Description=LabLink reporter, every 15 seconds

[Timer]
OnActiveSec=1s
OnUnitInactiveSec=15s
AccuracySec=1s

[Install]
WantedBy=timers.target
UNIT
    systemctl daemon-reload
    systemctl enable --now lablink-reporter.timer
}

# The reporter repeats the status after a reboot, and when the allocator could not be reached now.
report_running() {
    printf 'running\n' >"$state/status"
    post_status running 300
    post "/api/vm-metrics/$VM_NAME" "$(
        printf '{"cloud_init_start": %d, "cloud_init_end": %d, "cloud_init_duration_seconds": %d, ' \
            "$started_at" "$container_start" $((container_start - started_at))
        printf '"container_start": %d, "container_end": %d, "container_startup_duration_seconds": %d}' \
            "$container_start" "$container_end" $((container_end - container_start))
    )" 60 || log "the allocator at $ALLOCATOR_URL did not take the start-up times"
}

read_environment
post_status initializing 30
run_step "start the CloudWatch agent" start_cloudwatch_agent
run_step "start Docker" start_docker
run_step "prepare the GPU" prepare_gpu
run_step "run the start-up script" run_startup_script
run_step "start the reporter" start_reporter  # before anybody can have this VM: it says the host's key
run_step "start the client container" start_container
run_step "report" report_running
log "this VM is running"
