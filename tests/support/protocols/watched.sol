// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

// Contracts with the interfaces and storage of those that invariants watch, which a test can break in the way that counts.

contract WatchedToken {
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => uint256) public mintingCurrentLimitOf;
    mapping(address => uint256) public mintingMaxLimitOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function burn(address from, uint256 value) external {
        totalSupply -= value;
        balanceOf[from] -= value;
        emit Transfer(from, address(0), value);
    }

    function setLimits(address bridge, uint256 current, uint256 max) external {
        mintingCurrentLimitOf[bridge] = current;
        mintingMaxLimitOf[bridge] = max;
    }
}

/// EIP-1967: implementation, admin and beacon in their slots.
contract WatchedProxy {
    bytes32 constant IMPLEMENTATION = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
    bytes32 constant ADMIN = bytes32(uint256(keccak256("eip1967.proxy.admin")) - 1);
    bytes32 constant BEACON = bytes32(uint256(keccak256("eip1967.proxy.beacon")) - 1);

    event Upgraded(address indexed implementation);

    function upgradeTo(address implementation) external {
        put(IMPLEMENTATION, implementation);
        emit Upgraded(implementation);
    }

    function changeAdmin(address admin) external {
        put(ADMIN, admin);
    }

    function setBeacon(address beacon) external {
        put(BEACON, beacon);
    }

    function put(bytes32 slot, address value) private {
        assembly {
            sstore(slot, value)
        }
    }
}

/// The storage of Safe 1.4.1 (singleton, modules, owners, ownerCount, threshold, nonce) and its two linked lists.
contract WatchedSafe {
    address singleton;
    mapping(address => address) modules;
    mapping(address => address) owners;
    uint256 ownerCount;
    uint256 threshold;
    uint256 public nonce;
    address constant SENTINEL = address(1);

    event AddedOwner(address indexed owner);
    event RemovedOwner(address indexed owner);

    constructor(address singleton_, address[] memory first, uint256 threshold_) {
        singleton = singleton_;
        threshold = threshold_;
        owners[SENTINEL] = SENTINEL;
        modules[SENTINEL] = SENTINEL;
        for (uint256 i; i < first.length; ++i) addOwner(first[i]);
    }

    function addOwner(address owner) public {
        owners[owner] = owners[SENTINEL];
        owners[SENTINEL] = owner;
        ++ownerCount;
        emit AddedOwner(owner);
    }

    function removeFirstOwner() external {
        address owner = owners[SENTINEL];
        owners[SENTINEL] = owners[owner];
        owners[owner] = address(0);
        --ownerCount;
        emit RemovedOwner(owner);
    }

    function getOwners() external view returns (address[] memory array) {
        array = new address[](ownerCount);
        uint256 index;
        for (address at = owners[SENTINEL]; at != SENTINEL; at = owners[at]) array[index++] = at;
    }

    function changeThreshold(uint256 threshold_) external {
        threshold = threshold_;
    }

    function getThreshold() external view returns (uint256) {
        return threshold;
    }

    function enableModule(address module) external {
        modules[module] = modules[SENTINEL];
        modules[SENTINEL] = module;
    }

    function disableFirstModule() external {
        address module = modules[SENTINEL];
        modules[SENTINEL] = modules[module];
        modules[module] = address(0);
    }

    function getModulesPaginated(address start, uint256 pageSize)
        external
        view
        returns (address[] memory array, address next)
    {
        array = new address[](pageSize);
        uint256 count;
        next = modules[start];
        while (next != address(0) && next != SENTINEL && count < pageSize) {
            array[count++] = next;
            next = modules[next];
        }
        assembly {
            mstore(array, count)
        }
    }

    function setGuard(address guard) external {
        put(keccak256("guard_manager.guard.address"), guard);
    }

    function setFallbackHandler(address handler) external {
        put(keccak256("fallback_manager.handler.address"), handler);
    }

    function setSingleton(address singleton_) external {
        singleton = singleton_;
    }

    function setNonce(uint256 nonce_) external {
        nonce = nonce_;
    }

    function put(bytes32 slot, address value) private {
        assembly {
            sstore(slot, value)
        }
    }
}

/// What single functions of many protocols return, each set by the test.
contract WatchedState {
    struct Bucket {
        uint128 tokens;
        uint32 lastUpdated;
        bool isEnabled;
        uint128 capacity;
        uint128 rate;
    }

    struct Action {
        address target;
        bytes data;
        uint256 value;
    }

    struct DripConfig {
        bool reentrant;
        uint256 interval;
        address dripcheck;
        bytes checkparams;
        Action[] actions;
    }

    struct Drip {
        uint8 status;
        DripConfig config;
        uint256 last;
        uint256 count;
    }

    uint256 public slotZero;
    address public owner;
    bool public paused;
    uint256 public fee;
    uint256 public count;
    bytes32 public root;
    uint256 public livenessInterval;
    mapping(bytes32 => mapping(address => bool)) public hasRole;
    mapping(address => mapping(address => uint256)) public deposits;
    mapping(address => uint256) public lastLive;
    mapping(bytes32 => uint256) public revealedSecrets;
    mapping(string => Drip) public drips;
    Bucket bucket;
    int256 answer;
    uint256 updatedAt;
    uint256 anchor;
    address[] validators;

    function setSlotZero(uint256 value) external {
        slotZero = value;
    }

    function setOwner(address value) external {
        owner = value;
    }

    function setPaused(bool value) external {
        paused = value;
    }

    function setFee(uint256 value) external {
        fee = value;
    }

    function setCount(uint256 value) external {
        count = value;
    }

    function setRoot(bytes32 value) external {
        root = value;
    }

    function setRole(bytes32 role, address account, bool value) external {
        hasRole[role][account] = value;
    }

    function setDeposits(address token, address remote, uint256 value) external {
        deposits[token][remote] = value;
    }

    function setLiveness(address account, uint256 last, uint256 interval) external {
        lastLive[account] = last;
        livenessInterval = interval;
    }

    function reveal(bytes32 hash, uint256 at) external {
        revealedSecrets[hash] = at;
    }

    function setDrip(string calldata name, uint8 status, uint256 last, uint256 count_) external {
        Drip storage drip = drips[name];
        drip.status = status;
        drip.last = last;
        drip.count = count_;
    }

    function setBucket(uint128 tokens, uint128 capacity, bool isEnabled) external {
        bucket = Bucket(tokens, 0, isEnabled, capacity, 1);
    }

    function getCurrentOutboundRateLimiterState(uint64) external view returns (Bucket memory) {
        return bucket;
    }

    function setPrice(int256 answer_, uint256 updatedAt_) external {
        answer = answer_;
        updatedAt = updatedAt_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, answer, updatedAt, updatedAt, 1);
    }

    function setAnchor(uint256 number) external {
        anchor = number;
    }

    function getAnchorRoot() external view returns (bytes32, uint256) {
        return (root, anchor);
    }

    function setValidators(address[] calldata value) external {
        validators = value;
    }

    function validatorsAndThreshold(bytes calldata) external view returns (address[] memory, uint8) {
        return (validators, 1);
    }

    function facetAddresses() external view returns (address[] memory) {
        return validators;
    }
}

struct WithdrawalTransaction {
    uint256 nonce;
    address sender;
    address target;
    uint256 value;
    uint256 gasLimit;
    bytes data;
}

function hashOf(WithdrawalTransaction memory tx_) pure returns (bytes32) {
    return keccak256(abi.encode(tx_.nonce, tx_.sender, tx_.target, tx_.value, tx_.gasLimit, tx_.data));
}

/// The OP stack's L2ToL1MessagePasser.
contract WatchedPasser {
    mapping(bytes32 => bool) public sentMessages;
    uint256 nonce;

    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );

    function initiateWithdrawal(address target, uint256 gasLimit, bytes calldata data) external payable {
        WithdrawalTransaction memory tx_ =
            WithdrawalTransaction(nonce++, msg.sender, target, msg.value, gasLimit, data);
        bytes32 hash = hashOf(tx_);
        sentMessages[hash] = true;
        emit MessagePassed(tx_.nonce, msg.sender, target, msg.value, gasLimit, data, hash);
    }
}

/// The OP stack's portal, L2OutputOracle and DisputeGameFactory, without any proof.
contract WatchedPortal {
    struct OutputRootProof {
        bytes32 version;
        bytes32 stateRoot;
        bytes32 messagePasserStorageRoot;
        bytes32 latestBlockhash;
    }

    event WithdrawalProven(bytes32 indexed withdrawalHash, address indexed from, address indexed to);
    event OutputProposed(
        bytes32 indexed outputRoot, uint256 indexed l2OutputIndex, uint256 indexed l2BlockNumber, uint256 l1Timestamp
    );
    event DisputeGameCreated(address indexed disputeProxy, uint32 indexed gameType, bytes32 indexed rootClaim);

    uint256 outputs;
    address public disputeGameFactory;

    function setFactory(address factory) external {
        disputeGameFactory = factory;
    }

    receive() external payable {}

    function proveWithdrawalTransaction(
        WithdrawalTransaction memory tx_,
        uint256,
        OutputRootProof calldata,
        bytes[] calldata
    ) external {
        emit WithdrawalProven(hashOf(tx_), tx_.sender, tx_.target);
    }

    function proveUnseen(bytes32 hash, address from, address to) external {
        emit WithdrawalProven(hash, from, to);
    }

    function proposeL2Output(bytes32 root, uint256 l2BlockNumber) external {
        emit OutputProposed(root, outputs++, l2BlockNumber, block.timestamp);
    }

    function create(uint32 gameType, bytes32 root, uint256 l2BlockNumber) external {
        emit DisputeGameCreated(address(new WatchedGame(l2BlockNumber)), gameType, root);
    }
}

/// Makes a call that its own calldata does not show.
contract WatchedRelay {
    bytes kept;

    function keep(bytes calldata data) external {
        kept = data;
    }

    function relay(address to) external {
        (bool done,) = to.call(kept);
        require(done);
    }
}

contract WatchedGame {
    uint256 public l2BlockNumber;

    constructor(uint256 number) {
        l2BlockNumber = number;
    }
}

contract WatchedBridge {
    event Sent(bytes32 indexed id, uint256 destination, address token, uint256 amount);
    event Received(bytes32 indexed id);

    function send(bytes32 id, uint256 destination, address token, uint256 amount) external {
        emit Sent(id, destination, token, amount);
    }

    function receiveTransfer(bytes32 id) external {
        emit Received(id);
    }
}
